"""Settings of the audit."""

from typing import Annotated

from pydantic import Field

from pkv_interp.audit.ratios import ROUNDING
from pkv_interp.run.reading_settings import ReadingSettings

#: Logits; the upper bound is far above any margin.
Logits = Annotated[float, Field(strict=True, ge=0.0, le=1000.0)]


class AuditSettings(ReadingSettings):
    """Settings of this experiment; configs/audit.yaml says what each means."""

    margin_error: Logits = ROUNDING
