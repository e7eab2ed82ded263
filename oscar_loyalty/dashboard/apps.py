"""The loyalty pages of Oscar's dashboard, a Django app of its own that a shop may leave out."""

from typing import Any

from django.urls import path
from django.utils.translation import gettext_lazy as _
from oscar.core.application import OscarDashboardConfig
from oscar.core.loading import get_class


class LoyaltyDashboardConfig(OscarDashboardConfig):  # type: ignore[misc]
    # Oscar's class, imported here, is one too.
    default = True
    name = "oscar_loyalty.dashboard"
    label = "oscar_loyalty_dashboard"
    verbose_name = _("Loyalty dashboard")
    namespace = "loyalty-dashboard"
    # A page that nobody thought of is for nobody but superusers.
    default_permissions = ["is_superuser"]

    def ready(self) -> None:
        self.configure_permissions()

    def configure_permissions(self) -> None:
        """Who sees which page: staff with every permission of one of the lists. Oscar asks this for its
        menu too, and calls it again when it wants to know."""
        needs = get_class("dashboard.permissions", "DashboardPermission")

        def staff(*codenames: str) -> list[str]:
            return [*needs.staff, *needs.get("oscar_loyalty", *codenames)]

        self.permissions_map = {
            "loyalty-overview": staff("view_member"),
            "loyalty-tiers": staff("view_member", "view_tier"),
            "loyalty-tier-preview": staff("view_member", "view_tier"),
            "loyalty-members": staff("view_member"),
            "loyalty-member": staff("view_member"),
            "loyalty-audit": staff("view_member", "view_entry"),
            "loyalty-ledger": staff("view_member", "view_entry"),
            "loyalty-entry": staff("view_member", "view_entry"),
            "loyalty-holds": staff("view_member", "view_hold"),
            "loyalty-hold-release": staff("view_member", "view_hold", "change_hold"),
            "loyalty-adjustments": staff("view_member", "view_adjustment"),
            "loyalty-adjustment": staff("view_member", "view_adjustment"),
            "loyalty-adjust": staff("view_member", "add_adjustment"),
            "loyalty-adjustment-undo": staff("view_member", "add_adjustment"),
            # Their own small ones, or those of others; the page tells which.
            "loyalty-adjustment-decide": (
                staff("view_member", "add_adjustment"),
                staff("view_member", "approve_adjustment"),
            ),
            "loyalty-deliveries": staff("view_member", "view_deliverypromise"),
            "loyalty-delivery-arrived": staff(
                "view_member", "view_deliverypromise", "change_deliverypromise"
            ),
            "loyalty-freeze": staff("view_member", "freeze_account"),
            "loyalty-close": staff("view_member", "close_account"),
            "loyalty-transfer": staff("view_member", "transfer_points"),
            "loyalty-tier-give": staff("view_member", "override_tier"),
            "loyalty-tier-end": staff("view_member", "override_tier"),
            "loyalty-birthday": staff("view_member", "change_birthday"),
            "loyalty-merges": staff("view_member", "view_membermerge"),
            "loyalty-merge": staff("view_member", "view_membermerge"),
            "loyalty-merge-request": staff("view_member", "view_membermerge", "add_membermerge"),
            "loyalty-merge-decide": (
                staff("view_member", "view_membermerge", "add_membermerge"),
                staff("view_member", "view_membermerge", "approve_membermerge"),
            ),
        }

    def get_urls(self) -> list[Any]:
        from oscar_loyalty.dashboard import (
            accounts,
            adjustments,
            birthdays,
            deliveries,
            holds,
            ledger,
            levels,
            members,
            merges,
            overview,
            tiers,
        )

        member, adjustment = "members/<uuid:public_id>/", "adjustments/<uuid:public_id>/"
        return self.post_process_urls(  # type: ignore[no-any-return]
            [
                path("", overview.OverviewView.as_view(), name="loyalty-overview"),
                path("tiers/", levels.LevelsView.as_view(), name="loyalty-tiers"),
                path("tiers/preview/", levels.PreviewView.as_view(), name="loyalty-tier-preview"),
                path("members/", members.MembersView.as_view(), name="loyalty-members"),
                path(member, members.MemberView.as_view(), name="loyalty-member"),
                path(f"{member}adjust/", adjustments.AdjustView.as_view(), name="loyalty-adjust"),
                path(f"{member}freeze/", accounts.FreezeView.as_view(), name="loyalty-freeze"),
                path(f"{member}close/", accounts.CloseView.as_view(), name="loyalty-close"),
                path(f"{member}transfer/", accounts.TransferView.as_view(), name="loyalty-transfer"),
                path(f"{member}audit/", accounts.AuditView.as_view(), name="loyalty-audit"),
                path(f"{member}merge/", merges.RequestMergeView.as_view(), name="loyalty-merge-request"),
                path(f"{member}tier/", tiers.GiveTierView.as_view(), name="loyalty-tier-give"),
                path(f"{member}tier/<int:pk>/end/", tiers.EndTierView.as_view(), name="loyalty-tier-end"),
                path(f"{member}birthday/", birthdays.BirthdayView.as_view(), name="loyalty-birthday"),
                path("merges/", merges.MergesView.as_view(), name="loyalty-merges"),
                path("merges/<int:pk>/", merges.MergeView.as_view(), name="loyalty-merge"),
                path(
                    "merges/<int:pk>/decide/",
                    merges.DecideMergeView.as_view(),
                    name="loyalty-merge-decide",
                ),
                path("ledger/", ledger.LedgerView.as_view(), name="loyalty-ledger"),
                path("ledger/<uuid:public_id>/", ledger.EntryView.as_view(), name="loyalty-entry"),
                path("reservations/", holds.HoldsView.as_view(), name="loyalty-holds"),
                path(
                    "reservations/<uuid:public_id>/end/",
                    holds.ReleaseView.as_view(),
                    name="loyalty-hold-release",
                ),
                path("deliveries/", deliveries.DeliveriesView.as_view(), name="loyalty-deliveries"),
                path(
                    "deliveries/<int:pk>/arrived/",
                    deliveries.ArrivedView.as_view(),
                    name="loyalty-delivery-arrived",
                ),
                path("adjustments/", adjustments.AdjustmentsView.as_view(), name="loyalty-adjustments"),
                path(adjustment, adjustments.AdjustmentView.as_view(), name="loyalty-adjustment"),
                path(
                    f"{adjustment}decide/",
                    adjustments.DecideView.as_view(),
                    name="loyalty-adjustment-decide",
                ),
                path(f"{adjustment}undo/", adjustments.UndoView.as_view(), name="loyalty-adjustment-undo"),
            ]
        )
