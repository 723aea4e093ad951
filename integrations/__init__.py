"""Stopping rules for other frameworks, one module per framework.

Installed as `lcpfn.integrations`. Nothing is imported here, so that a framework is needed only
by those who import its module.
"""
