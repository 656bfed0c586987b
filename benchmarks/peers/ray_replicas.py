"""The service on Ray Serve as `make scale` starts it, but with a fixed number of replicas: `ray_replicas.py N`."""

import sys

from deploy.ray.local import main

if __name__ == "__main__":
    replicas = int(sys.argv[1])
    main({"min_replicas": replicas, "max_replicas": replicas})
