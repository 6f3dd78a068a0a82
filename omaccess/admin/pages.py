"""What the admin's pages have in common: bounded lists, verbatim texts, no deleting, and the audited form."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Any, cast

from django import forms
from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import PAGE_VAR
from django.core.exceptions import BadRequest, FieldError, PermissionDenied, ValidationError
from django.core.paginator import Paginator
from django.db import models, transaction
from django.db.models.constants import LOOKUP_SEP
from django.db.models.sql import Query
from django.forms import BaseModelForm
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin, TabularInline
from unfold.views import ChangeList

from omaccess.actions.changes import Change, OwnReach, refusals_recorded
from omaccess.admin import endless
from omaccess.admin.choices import Rows, RowSelect, RowSelectMultiple
from omaccess.admin.words import admin_of, row_id
from omaccess.errors import InvalidTransition
from omaccess.meta import Meta

COUNTED = 10_000
"""Lists count no further: beyond it a filter helps, a number does not."""


class BoundedPaginator(Paginator):  # type: ignore[type-arg]
    """Counts up to a limit, so that a page of a large table costs the same as a page of a small one."""

    template_name = "admin/bounded_pagination.html"

    @cached_property
    def _counted(self) -> int:
        rows = self.object_list
        if isinstance(rows, models.QuerySet):
            return rows.order_by()[: COUNTED + 1].count()
        return len(rows)

    @cached_property
    def count(self) -> int:
        return min(self._counted, COUNTED)

    @property
    def is_more(self) -> bool:
        return self._counted > COUNTED


def refuse_control_characters(text: str) -> None:
    """Raises: ValidationError. Such a character is always an accident of copying, and unseen in every list."""
    if any(unicodedata.category(char) == "Cc" for char in text):
        raise ValidationError(_("Control characters (tab, line break and the like) are not allowed."))


class Verbatim:
    """For model admins and inlines: one-line texts without control characters, those in `verbatim` unstripped; ids that
    are some.
    """

    verbatim: Sequence[str] = ()

    def formfield_for_dbfield(
        self, db_field: models.Field[Any, Any], request: HttpRequest, **kwargs: Any
    ) -> forms.Field | None:
        field: forms.Field | None = super().formfield_for_dbfield(db_field, request, **kwargs)  # type: ignore[misc]
        if isinstance(field, forms.CharField) and isinstance(db_field, models.CharField):
            field.validators.append(refuse_control_characters)
            if db_field.name in self.verbatim:
                field.strip = False
                field.validators.append(_refuse_blank)
        return field

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name in self.get_autocomplete_fields(request):  # type: ignore[attr-defined]
            kwargs.setdefault("widget", RowSelect(db_field, self.admin_site))  # type: ignore[attr-defined]
        return super().formfield_for_foreignkey(db_field, request, **kwargs)  # type: ignore[misc]

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        kwargs.setdefault("form_class", Rows)
        if db_field.name in self.get_autocomplete_fields(request):  # type: ignore[attr-defined]
            kwargs.setdefault("widget", RowSelectMultiple(db_field, self.admin_site))  # type: ignore[attr-defined]
        return super().formfield_for_manytomany(db_field, request, **kwargs)  # type: ignore[misc]


def _refuse_blank(text: str) -> None:
    if not text.strip():
        raise ValidationError(_("Only spaces is no name."))


def odd_text(text: str, *, length: int = 64) -> str:
    """What is unusual about a text that is sent as it stands, in words; empty when nothing is."""
    if text != text.strip():
        return str(_("“%(text)s” begins or ends with a space, which is sent too.")) % {"text": text}
    if len(text) > length:
        return str(_("“%(text)s” is longer than %(length)d characters; Huawei Cloud documents no longer ones.")) % {
            "text": text[:40] + "…",
            "length": length,
        }
    return ""


MOST_NEW_ROWS = 100
"""How many rows one saving may add. Django allows two thousand, and a page of so many costs a processor 20 seconds, all
of it within the change's transaction."""


class RowInline(Verbatim, TabularInline):  # type: ignore[misc]
    """Rows that belong to the page's subject, and go with it through its one action."""

    extra = 0

    def get_formset(self, request: HttpRequest, obj: models.Model | None = None, **kwargs: Any) -> Any:
        """As many rows as there are and a bounded number more, whatever a form claims to hold."""
        formset = super().get_formset(request, obj, **kwargs)
        rows = self.model._default_manager.filter(**{formset.fk.name: obj}).count() if obj is not None else 0
        formset.max_num = formset.absolute_max = rows + MOST_NEW_ROWS
        return formset


class SecretTyped:
    """For forms with a secret, which no page ever shows again: says so beside it when something else was wrong."""

    typed_once: str

    def full_clean(self) -> None:
        super().full_clean()  # type: ignore[misc]
        form = cast(forms.BaseForm, self)
        is_typed = self.typed_once in form.fields and form.data.get(form.add_prefix(self.typed_once))
        if form.errors and is_typed:
            form.add_error(self.typed_once, _("Type the password again."))


LOOKUPS = {"exact", "in", "isnull"}
"""What filters and links of lists compare with. Others (years, patterns) fail on values that only a query can judge."""


class EndlessPaginator:
    """Stands where Django's would, for a list that is never counted; `endless.Page` has what its template shows."""

    template_name = "admin/endless_pagination.html"

    def __init__(self, page: endless.Page) -> None:
        self.page = page


class PortalChangeList(ChangeList):  # type: ignore[misc]
    """Refuses a condition in the address that the database would fail on, before there is a query."""

    def get_filters(self, request: HttpRequest) -> Any:
        """Raises: IncorrectLookupParameters, on which Django shows the whole list instead."""
        for name in (endless.BELOW, endless.ABOVE):
            # As Django does with the number of a page: another filter begins at the first page.
            self.params.pop(name, None)
            self.filter_params.pop(name, None)
        for key, values in self.get_filters_params().items():
            self._check_condition(key, values)
        return super().get_filters(request)

    def _check_condition(self, key: str, values: list[str]) -> None:
        try:
            _path, _field, targets, lookups = Query(self.model).names_to_path(key.split(LOOKUP_SEP), self.opts)
        except FieldError:
            return  # a filter's own parameter, or nothing that Django knows either
        if len(lookups) > 1 or not LOOKUPS.issuperset(lookups):
            raise IncorrectLookupParameters(key)
        if "isnull" in lookups:
            return
        single = [part for value in values for part in value.split(",")] if "in" in lookups else values
        for value in single:
            _check_value(targets[0], value)

    def get_results(self, request: HttpRequest) -> None:
        """Without a count of all there is nothing to compare with, and the title would offer to "show all"."""
        order = endless.columns(self.queryset) if self.model_admin.is_endless else None
        if order is not None:
            self._get_endless_results(request, order)
        else:
            super().get_results(request)
        self.full_result_count = self.result_count

    def _get_endless_results(self, request: HttpRequest, order: list[endless.Column]) -> None:
        below, above = (request.GET.getlist(name) or None for name in (endless.BELOW, endless.ABOVE))
        try:
            page = endless.page(self.queryset, order, self.list_per_page, below=below, above=above)
        except endless.NoSuchKey as error:
            raise IncorrectLookupParameters(error) from error
        self.paginator = EndlessPaginator(page)
        self.result_list, self.result_count = page.rows, len(page.rows)
        self.multi_page = self.can_show_all = self.show_full_result_count = False
        self.show_admin_actions = bool(page.rows)
        self.first_url = self.get_query_string()
        self.before_url = self.get_query_string({endless.ABOVE: page.before})
        self.after_url = self.get_query_string({endless.BELOW: page.after})
        self.last_url = self.get_query_string({endless.ABOVE: endless.END})


def _check_value(field: models.Field[Any, Any], value: str) -> None:
    """By the column's own rules: its type, its range in this database, its length. PostgreSQL has no text with NUL."""
    if "\0" in value:
        raise IncorrectLookupParameters(field.name)
    try:
        field.run_validators(field.to_python(value))
    except ValidationError as error:
        raise IncorrectLookupParameters(error) from None


class PortalAdmin(Verbatim, ModelAdmin):  # type: ignore[misc]
    """A page of the portal: lists count nothing unbounded, and nothing is ever deleted."""

    paginator = BoundedPaginator
    is_endless = False
    """Whether the list is too long to be counted: then it is paged by the keys of its rows, not by numbers. An order
    that allows no keys (an expression, a column that may be NULL) still has numbers.
    """
    show_full_result_count = False
    list_per_page = 50
    list_max_show_all = 0
    list_filter_submit = True
    list_fullwidth = True
    warn_unsaved_form = True
    compressed_fields = True

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[PortalChangeList]:
        return PortalChangeList

    def get_changelist_instance(self, request: HttpRequest) -> PortalChangeList:
        """The list, after which the address is known by its filters only: forms on the page carry them on, and
        another filter, or an export, has nothing to do with the page that was looked at.
        """
        found: PortalChangeList = super().get_changelist_instance(request)
        filters = request.GET.copy()
        for name in (PAGE_VAR, endless.BELOW, endless.ABOVE):
            filters.pop(name, None)
        request.GET = filters  # type: ignore[assignment]
        return found

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        """Disabled, revoked or kept; for superusers too."""
        return False

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> models.Model | None:
        """An empty `_to_field` names none; Django would look for a column without a name."""
        found: models.Model | None = super().get_object(request, object_id, from_field or None)
        return found

    def response_action(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> Any:
        """Raises: BadRequest for a chosen row that is no id; Django would ask the database for it, and fail."""
        if any(row_id(one) is None for one in request.POST.getlist(ACTION_CHECKBOX_NAME)):
            raise BadRequest("a chosen row is no id")
        return super().response_action(request, queryset)


class ReadOnlyAdmin(PortalAdmin):
    """Records: to be looked at by whoever may, to be changed by nobody."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False


class AuditedAdmin(PortalAdmin):
    """A form whose saving is one `Change`: locked first, recorded last, refused for one's own access.

    The change begins before Django reads the row, and finishes after Django's own log entry; both are in the one
    transaction that Django opens for a form.
    """

    change_class: type[Change[Any]]

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        context = {**(extra_context or {}), **self.page_context(request, object_id)}
        if request.method != "POST":
            return self._django_view(request, object_id, form_url, context)
        if "_saveasnew" in request.POST:
            raise PermissionDenied  # would make a new row under the lock and the facts of another
        if not (self.has_change_permission(request) if object_id else self.has_add_permission(request)):
            raise PermissionDenied
        by, meta = admin_of(request), Meta.of(request)
        self.before_transaction(request)
        try:
            with refusals_recorded(by=by, meta=meta), transaction.atomic():
                request._change = self._begin(request, object_id, by, meta)  # type: ignore[attr-defined]
                return self._django_view(request, object_id, form_url, context)
        except OwnReach as refusal:
            # Once more, with a form that is wrong: everything typed stays on the screen, nothing is saved.
            request._refusal = refusal.message  # type: ignore[attr-defined]
            return self._django_view(request, object_id, form_url, context)
        except InvalidTransition:
            messages.error(request, _("Somebody ended this meanwhile; nothing was saved."))
            return redirect(request.path)

    def _django_view(
        self, request: HttpRequest, object_id: str | None, form_url: str, context: dict[str, Any]
    ) -> HttpResponse:
        response: HttpResponse = super().changeform_view(request, object_id, form_url, context)
        return response

    def _begin(self, request: HttpRequest, object_id: str | None, by: Any, meta: Meta) -> Change[Any]:
        subject_id: int | None = None
        if object_id is not None:
            found = self.get_object(request, object_id)
            subject_id = found.pk if found is not None else None
        change = self.change_class(subject_id, by=by, meta=meta)
        change.begin()
        return change

    def get_form(
        self, request: HttpRequest, obj: models.Model | None = None, change: bool = False, **kwargs: Any
    ) -> type[BaseModelForm[Any]]:
        form: type[BaseModelForm[Any]] = super().get_form(request, obj, change=change, **kwargs)
        refusal = getattr(request, "_refusal", None)
        return type(f"Refused{form.__name__}", (_Refused, form), {"refusal": refusal}) if refusal else form

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """What a link fills in: texts, and ids that could be some. Django would fail on others while it renders."""
        initial: dict[str, Any] = super().get_changeform_initial_data(request)
        fields = {field.name: field for field in self.opts.get_fields()}
        ids = {name for name, field in fields.items() if field.is_relation}
        texts = {name for name, field in fields.items() if isinstance(field, models.CharField)}
        return {
            name: value
            for name, value in initial.items()
            if name in texts or (name in ids and isinstance(value, str) and row_id(value) is not None)
        }

    def log_addition(self, request: HttpRequest, obj: models.Model, message: Any) -> Any:
        entry = super().log_addition(request, obj, message)
        self._finish(request, obj)
        return entry

    def log_change(self, request: HttpRequest, obj: models.Model, message: Any) -> Any:
        entry = super().log_change(request, obj, message)
        self._finish(request, obj)
        return entry

    def _finish(self, request: HttpRequest, obj: models.Model) -> None:
        for warning in self.warnings(obj):
            messages.warning(request, warning)
        change_of(request).finish(obj)

    def warnings(self, obj: Any) -> list[str]:
        """What is allowed but probably not meant, for the screen after saving."""
        return []

    def page_context(self, request: HttpRequest, object_id: str | None) -> dict[str, Any]:
        """More for the page's template."""
        return {}

    def before_transaction(self, request: HttpRequest) -> None:
        """Slow work on what was posted, done before any row is locked."""


def change_of(request: HttpRequest) -> Any:
    """The change that this request's form is part of."""
    return request._change  # type: ignore[attr-defined]


class _Refused:
    """Mixed into a form to show it again with what was typed, and with why it was refused."""

    refusal: str

    def clean(self) -> Any:
        cleaned = super().clean()  # type: ignore[misc]
        self.add_error(None, self.refusal)  # type: ignore[attr-defined]
        return cleaned
