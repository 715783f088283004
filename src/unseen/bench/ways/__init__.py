"""Ways past attached erasers, tried one by one."""
