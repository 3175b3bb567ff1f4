"""What people made belongs to their personal workspaces.

First PostgreSQL itself fills in what the running release leaves out, then the rows that are there follow in short
transactions, beside whoever writes. It can be run again.
"""

from importlib import import_module
from typing import Any

from django.db import migrations
from django.db.models import OuterRef, Subquery

BATCH = 5000
TABLES = ("generations_generation", "generations_asset", "generations_webhook", "accounts_apikey")
# A file that a relay of the release before stores belongs to where its generation does. A user whom that release made
# has no workspace yet.
FUNCTION = """
CREATE OR REPLACE FUNCTION comfysaas_settle() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_TABLE_NAME = 'generations_asset' THEN
        IF NEW.key ~ '^outputs/[0-9a-f-]{36}/' THEN
            SELECT workspace_id INTO NEW.workspace_id FROM generations_generation
            WHERE id = split_part(NEW.key, '/', 2)::uuid;
        END IF;
    END IF;
    IF NEW.workspace_id IS NULL THEN
        SELECT id INTO NEW.workspace_id FROM accounts_workspace WHERE person_id = NEW.user_id;
    END IF;
    IF NEW.workspace_id IS NULL THEN
        INSERT INTO accounts_workspace (public_id, name, person_id, plan_id, created_at)
        SELECT gen_random_uuid(), 'Personal', id, plan_id, now() FROM accounts_user WHERE id = NEW.user_id
        ON CONFLICT (person_id) DO NOTHING;
        SELECT id INTO NEW.workspace_id FROM accounts_workspace WHERE person_id = NEW.user_id;
        INSERT INTO accounts_membership (workspace_id, user_id, role, created_at)
        VALUES (NEW.workspace_id, NEW.user_id, 'owner', now())
        ON CONFLICT (workspace_id, user_id) DO NOTHING;
    END IF;
    RETURN NEW;
END $$
"""


def settle_new(apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.vendor != "postgresql":
        return
    schema_editor.execute(FUNCTION)
    for table in TABLES:
        schema_editor.execute(
            f"CREATE OR REPLACE TRIGGER settle BEFORE INSERT ON {table} FOR EACH ROW"
            " WHEN (NEW.workspace_id IS NULL) EXECUTE FUNCTION comfysaas_settle()"
        )


def leave_new(apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP FUNCTION IF EXISTS comfysaas_settle() CASCADE")


def settle_old(apps: Any, schema_editor: Any) -> None:
    """Those that have a workspace stay where they are."""
    database = schema_editor.connection.alias
    import_module("accounts.migrations.0012_personal_workspaces").fill(apps, schema_editor)  # for later users
    own = apps.get_model("accounts", "Workspace").objects.using(database).filter(person=OuterRef("user")).values("pk")
    for name in ("Generation", "Asset", "Webhook"):
        rows = apps.get_model("generations", name)._base_manager.using(database).order_by("pk")
        last = None
        while True:
            ahead = rows if last is None else rows.filter(pk__gt=last)
            batch = list(ahead.values_list("pk", flat=True)[:BATCH])
            if not batch:
                break
            last = batch[-1]
            rest = rows.filter(pk__gte=batch[0], pk__lte=last, workspace=None).order_by()
            rest.update(workspace=Subquery(own[:1]))


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("generations", "0027_workspace_columns")]
    operations = [
        migrations.RunPython(settle_new, leave_new),
        migrations.RunPython(settle_old, migrations.RunPython.noop, elidable=True),
    ]
