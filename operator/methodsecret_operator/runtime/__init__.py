"""What runs: queue, reconciler, handlers, telemetry. It ties the floors below together."""
