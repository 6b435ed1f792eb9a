"""``python -m experiments.site``."""

from experiments.site.settings import SiteSettings
from pkv_interp.run.command import command


def site(settings: SiteSettings) -> None:
    """Build the site."""
    # Its imports take seconds, and wait until the settings are checked.
    from experiments.site.build import build

    build(settings)


main = command("site", SiteSettings, site)

if __name__ == "__main__":
    main()
