"""One progress bar on stderr for each thing that is being done."""

from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TaskID, TextColumn

from semcache.commands.console import err


class Bars:
    """Shows how far things are; ``time`` is the column that says how long they took or will take."""

    def __init__(self, time: ProgressColumn) -> None:
        self._progress = Progress(
            TextColumn("{task.description:<24}"), BarColumn(bar_width=26), MofNCompleteColumn(), time, console=err()
        )
        self._tasks: dict[str, TaskID] = {}

    def show(self, what: str, step: int, steps: int) -> None:
        """So many steps of it are done; a bar appears when a thing is named first."""
        if what not in self._tasks:
            self._tasks[what] = self._progress.add_task(what, total=steps)
        self._progress.update(self._tasks[what], completed=step)

    def __enter__(self) -> "Bars":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()
