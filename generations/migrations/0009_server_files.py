"""An admin may let whole workflows name the files that a server lists itself."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("generations", "0008_asset_has_audio")]
    operations = [
        migrations.AddField(
            model_name="comfyserver",
            name="are_files_offered",
            field=models.BooleanField(
                db_default=False,
                default=False,
                help_text=(
                    "Whole workflows may name the files that this server lists itself, such as those in its input folder, but "
                    "no results and no uploads of users. Off: users name files of their own only."
                ),
                verbose_name="offer its files",
            ),
        ),
    ]
