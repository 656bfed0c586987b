"""The service on Ray Serve as `make scale` has it, with a fixed number of replicas: `ray_replicas.py REPLICAS`."""

import sys

from deploy.ray.local import main

if __name__ == "__main__":
    replicas = int(sys.argv[1])
    main({"min_replicas": replicas, "max_replicas": replicas})
