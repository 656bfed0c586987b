#!/bin/sh
# The Debian packages that the tests need; installed where this runs as root on Debian, else left to the person.
set -eu
missing=""
command -v chromium >/dev/null || missing="$missing chromium"
command -v prometheus >/dev/null || missing="$missing prometheus" # with promtool
command -v Rscript >/dev/null || missing="$missing r-base-core"
Rscript -e 'library(httr2); library(jsonlite)' >/dev/null 2>&1 || missing="$missing r-cran-httr2 r-cran-jsonlite"
command -v node >/dev/null || missing="$missing nodejs"
command -v curl >/dev/null || missing="$missing curl"
command -v kustomize >/dev/null || missing="$missing kustomize"
[ -n "$missing" ] || exit 0
if [ "$(id -u)" = 0 ] && [ -f /etc/debian_version ]; then
    echo "installing$missing"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    # shellcheck disable=SC2086 # a list of names
    apt-get install -qq -y --no-install-recommends $missing >/dev/null
    case $missing in *prometheus*) # its package starts one, now and at each boot; the tests start their own
        update-rc.d prometheus disable
        service prometheus stop
    esac
else
    echo "tests that need it are skipped without: apt install$missing"
fi
