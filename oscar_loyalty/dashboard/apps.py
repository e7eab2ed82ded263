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
            "loyalty-returns": staff("view_return"),
            "loyalty-returns-batch": staff("view_return", "handle_returns"),
            "loyalty-return": staff("view_return"),
            "loyalty-return-act": staff("view_return", "handle_returns"),
            "loyalty-return-undo": staff("view_return", "handle_returns"),
            "loyalty-return-refund": staff("view_return", "handle_refund"),
            "loyalty-return-photos": staff("view_return", "handle_returns"),
            "loyalty-return-photo": staff("view_return"),
            "loyalty-return-figures": staff("view_return"),
            "loyalty-withdrawals": staff("view_return", "view_withdrawal"),
            "loyalty-withdrawal": staff("view_return", "view_withdrawal"),
            "loyalty-withdrawal-handle": staff("view_return", "view_withdrawal", "handle_returns"),
            "loyalty-goodwill-list": staff("view_goodwill"),
            "loyalty-goodwill": staff("view_goodwill"),
            "loyalty-goodwill-give": staff("view_goodwill", "add_goodwill"),
            # Their own they may discard; the page tells which.
            "loyalty-goodwill-decide": (
                staff("view_goodwill", "add_goodwill"),
                staff("view_goodwill", "approve_goodwill"),
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
            goodwill,
            holds,
            ledger,
            levels,
            members,
            merges,
            overview,
            return_figures,
            returns,
            tiers,
            withdrawals,
        )

        member, adjustment = "members/<uuid:public_id>/", "adjustments/<uuid:public_id>/"
        of_return, withdrawal = "returns/<str:number>/", "withdrawals/<uuid:public_id>/"
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
                path("returns/", returns.ReturnsView.as_view(), name="loyalty-returns"),
                path("returns/several/", returns.BatchView.as_view(), name="loyalty-returns-batch"),
                path("returns/figures/", return_figures.FiguresView.as_view(), name="loyalty-return-figures"),
                path(
                    "returns/pictures/<uuid:public_id>/",
                    returns.PhotoView.as_view(),
                    name="loyalty-return-photo",
                ),
                path(of_return, returns.ReturnView.as_view(), name="loyalty-return"),
                path(f"{of_return}do/", returns.ActView.as_view(), name="loyalty-return-act"),
                path(f"{of_return}undo/", returns.UndoReturnView.as_view(), name="loyalty-return-undo"),
                path(f"{of_return}pictures/", returns.PhotosView.as_view(), name="loyalty-return-photos"),
                path(
                    f"{of_return}refunds/<int:pk>/",
                    returns.RefundView.as_view(),
                    name="loyalty-return-refund",
                ),
                path("withdrawals/", withdrawals.WithdrawalsView.as_view(), name="loyalty-withdrawals"),
                path(withdrawal, withdrawals.WithdrawalView.as_view(), name="loyalty-withdrawal"),
                path(
                    f"{withdrawal}handle/",
                    withdrawals.HandleWithdrawalView.as_view(),
                    name="loyalty-withdrawal-handle",
                ),
                path("goodwill/", goodwill.GoodwillListView.as_view(), name="loyalty-goodwill-list"),
                path(
                    "goodwill/orders/<str:number>/",
                    goodwill.GiveGoodwillView.as_view(),
                    name="loyalty-goodwill-give",
                ),
                path("goodwill/<uuid:public_id>/", goodwill.GoodwillView.as_view(), name="loyalty-goodwill"),
                path(
                    "goodwill/<uuid:public_id>/decide/",
                    goodwill.DecideGoodwillView.as_view(),
                    name="loyalty-goodwill-decide",
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
