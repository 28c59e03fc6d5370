"""Running, recording and resuming the computations behind each study."""
