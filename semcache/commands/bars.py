"""Progress bars on stderr, one for each task of a command."""

from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TaskID, TextColumn

from semcache.commands.console import err


class Bars:
    """A progress bar per task. ``time`` is the column that shows how long a task has taken or will still take.

    Example:
        with Bars(TimeElapsedColumn()) as bars:
            bars.show("replaying", 3, 300)
    """

    def __init__(self, time: ProgressColumn) -> None:
        self._progress = Progress(
            TextColumn("{task.description:<24}"), BarColumn(bar_width=26), MofNCompleteColumn(), time, console=err()
        )
        self._ids: dict[str, TaskID] = {}

    def show(self, task: str, step: int, steps: int) -> None:
        """Show that ``step`` of the ``steps`` steps of a task are done. The first call for a task adds its bar."""
        if task not in self._ids:
            self._ids[task] = self._progress.add_task(task, total=steps)
        self._progress.update(self._ids[task], completed=step, total=steps)

    def __enter__(self) -> "Bars":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        # Also after Ctrl-C: rich hides the cursor while bars move, and only ``stop`` brings it back.
        self._progress.stop()
