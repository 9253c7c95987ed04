"""Redis Cluster as one virtual server: which node is asked what, and how their replies become one."""
