"""Helpers for end-to-end tests; README.md beside this file shows how a scenario reads."""
from .check import ANY, Failure, contains, equal, matches, true, until
from .node import BUILD, TREE, FakePlugin, Node, pod, program
from .process import Process
from .run import main, scenario, skip

__all__ = [
    "ANY", "BUILD", "Failure", "FakePlugin", "Node", "Process", "TREE", "contains", "equal", "main", "matches", "pod", "program",
    "scenario", "skip", "true", "until",
]
