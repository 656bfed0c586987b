"""What it takes to run it elsewhere: Ray Serve, batch scoring, Kubernetes, monitoring."""
