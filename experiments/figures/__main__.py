"""``python -m experiments.figures``."""

from experiments.figures.settings import FiguresSettings
from pkv_interp.run.command import command


def figures(settings: FiguresSettings) -> None:
    """Draw every record's figures."""
    # Its imports take seconds, and wait until the settings are checked.
    from experiments.figures.draw import figures as draw

    draw(settings)


main = command("figures", FiguresSettings, figures)

if __name__ == "__main__":
    main()
