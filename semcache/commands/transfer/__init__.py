"""Writes entries to a file of JSON lines, and stores them from one."""
