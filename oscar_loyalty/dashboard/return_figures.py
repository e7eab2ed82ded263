"""How fast money goes back, and what comes back how often; as a table for a spreadsheet, too."""

import csv
from collections.abc import Iterator
from decimal import Decimal

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.utils.formats import number_format
from django.utils.translation import gettext as _

from oscar_loyalty.dashboard.base import DeskView
from oscar_loyalty.flows import return_desk
from oscar_loyalty.returns.figures import ReturnRate
from oscar_loyalty.returns.models import Reason

#: Lengths of a period in days.
PERIODS = (30, 90, 365)
#: A cell that begins so is a formula to a spreadsheet.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
#: The page shows so many products; the file has all of them.
MOST_SHOWN = 100


class FiguresView(DeskView):
    tab = "returns"
    template_name = "return_figures.html"

    def get(self, request: HttpRequest) -> HttpResponse:
        typed = request.GET.get("days", "")
        days = int(typed) if typed in {str(period) for period in PERIODS} else PERIODS[0]
        rates = return_desk.rate_returns(days=days, now=self.now)
        if request.GET.get("format") == "csv":
            return _as_file(rates, name=f"returns-{days}.csv")
        return self.show(
            figures=return_desk.measure_refunds(days=days, now=self.now),
            rates=[
                {"rate": rate, "reasons": [(name_reason(code), count) for code, count in rate.reasons]}
                for rate in rates[:MOST_SHOWN]
            ],
            has_more=len(rates) > MOST_SHOWN,
            days=days,
            periods=PERIODS,
        )


def name_reason(code: str) -> str:
    return str(dict(Reason.choices).get(code, code))


def _as_file(rates: list[ReturnRate], *, name: str) -> HttpResponse:
    """For Excel as Germans have it: semicolons, a byte order mark, decimals as the reader writes them."""
    response = StreamingHttpResponse(_lines(rates), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response  # type: ignore[return-value]


class _Echo:
    def write(self, line: str) -> str:
        return line


def _lines(rates: list[ReturnRate]) -> Iterator[str]:
    writer = csv.writer(_Echo(), delimiter=";")
    head = [_("Product"), _("Reason"), _("Pieces returned"), _("Pieces sold"), _("Return rate in percent")]
    yield "\ufeff" + writer.writerow(head)
    for rate in rates:
        for code, count in rate.reasons:
            share = Decimal(100) * count / rate.sold if rate.sold else None
            yield writer.writerow(
                [
                    _harmless(rate.title),
                    name_reason(code),
                    count,
                    rate.sold,
                    "" if share is None else number_format(share, decimal_pos=1, use_l10n=True),
                ]
            )


def _harmless(text: str) -> str:
    """What a customer or a supplier named must not become a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text
