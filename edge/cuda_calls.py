"""Who may call CUDA while a graph is captured: nobody else."""

import threading

# Held through each picture that a capture thread decodes on the device, and by whoever captures a
# graph there: what another thread allocates meanwhile can break the capture.
side_calls = threading.Lock()
