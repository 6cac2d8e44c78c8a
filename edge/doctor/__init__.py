"""``rfdetr-edge doctor``: what is the matter with this machine, and what to do about it."""
