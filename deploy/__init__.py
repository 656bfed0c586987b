"""Run the service elsewhere: Ray Serve, batch scoring with Ray Data, Kubernetes, monitoring."""
