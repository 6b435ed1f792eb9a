"""``python -m experiments.explore model=smollm2-135m-gate``."""

from experiments.explore.settings import ExploreSettings
from pkv_interp.errors import PkvError
from pkv_interp.models.catalogue import check_place
from pkv_interp.run.command import command


def explore(settings: ExploreSettings) -> None:
    """Load the model and serve the page until the user stops it."""
    check_place(settings.model)
    # Its imports take seconds, and wait until the settings are checked.
    try:
        from experiments.explore.serve import serve
    except ModuleNotFoundError as error:
        if error.name not in ("dash", "flask", "werkzeug"):
            raise
        raise PkvError("the explorer needs Dash", "pip install -e '.[explore]'") from error

    serve(settings)


main = command("explore", ExploreSettings, explore)

if __name__ == "__main__":
    main()
