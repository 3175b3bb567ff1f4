"""Everybody gets a personal workspace with their plan, and their keys work in it.

In short transactions, beside a release that goes on making users and keys. It can be run again: those that it finds
done stay as they are. Users whom the release before makes afterwards get theirs when they first come
(`WorkspaceQuerySet.personal_of`).
"""

from django.db import migrations, transaction
from django.db.models import OuterRef, Subquery

BATCH = 1000


def fill(apps, schema_editor):
    database = schema_editor.connection.alias
    User, Workspace, Membership, ApiKey = (
        apps.get_model("accounts", name) for name in ("User", "Workspace", "Membership", "ApiKey")
    )
    users = User._base_manager.using(database).order_by("pk").values_list("pk", "plan_id")
    last = 0
    while batch := list(users.filter(pk__gt=last)[:BATCH]):
        last = batch[-1][0]
        mine = Workspace.objects.using(database).filter(person__in=[pk for pk, _plan in batch])
        with transaction.atomic(using=database):
            Workspace.objects.using(database).bulk_create(
                [Workspace(name="Personal", person_id=pk, plan_id=plan) for pk, plan in batch], ignore_conflicts=True
            )
            Membership.objects.using(database).bulk_create(
                [Membership(workspace_id=pk, user_id=user, role="owner") for pk, user in mine.values_list("pk", "person")],
                ignore_conflicts=True,
            )
            own = Workspace.objects.using(database).filter(person=OuterRef("user")).values("pk")
            keys = ApiKey.objects.using(database).filter(user__in=[pk for pk, _plan in batch], workspace=None)
            keys.update(workspace=Subquery(own[:1]))


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ('accounts', '0011_workspaces'),
    ]

    operations = [migrations.RunPython(fill, migrations.RunPython.noop, elidable=True)]
