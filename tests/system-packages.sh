#!/bin/sh
# Install the Debian packages that the tests need. Without root rights, print the command instead.
set -eu
missing=""
command -v chromium >/dev/null || missing="$missing chromium"
command -v firefox-esr >/dev/null || missing="$missing firefox-esr"
command -v promtool >/dev/null || missing="$missing prometheus" # with promtool
command -v Rscript >/dev/null || missing="$missing r-base-core"
Rscript -e 'library(httr2); library(jsonlite)' >/dev/null 2>&1 || missing="$missing r-cran-httr2 r-cran-jsonlite"
command -v node >/dev/null || missing="$missing nodejs"
command -v tsc >/dev/null || missing="$missing node-typescript"
command -v curl >/dev/null || missing="$missing curl"
command -v kustomize >/dev/null || missing="$missing kustomize"
command -v nginx >/dev/null || missing="$missing nginx"
command -v openssl >/dev/null || missing="$missing openssl"
[ -n "$missing" ] || exit 0
if [ "$(id -u)" = 0 ] && [ -f /etc/debian_version ]; then
    echo "installing$missing"
    export DEBIAN_FRONTEND=noninteractive
    # Another package manager may be running, for example at boot. Wait for it up to five minutes.
    for _ in $(seq 30); do apt-get update -qq && break || sleep 10; done
    # shellcheck disable=SC2086 # a list of packages
    apt-get -o DPkg::Lock::Timeout=300 install -qq -y --no-install-recommends $missing >/dev/null
    for server in prometheus nginx; do # stop the server that the package starts; the tests start their own
        case $missing in *$server*)
            update-rc.d $server disable
            service $server stop
        esac
    done
else
    echo "some tests will be skipped; to run them, install: apt install$missing"
fi
