"""Templates for chosen workspaces, or for staff alone.

The release before hides what is for either from everybody but staff, and writes neither.
"""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0012_personal_workspaces'),
        ('auth', '0012_alter_user_first_name_max_length'),
        ('generations', '0029_indexes_of_workspaces'),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name='workflowtemplate',
            name='template_visibility_known',
        ),
        migrations.AddField(
            model_name='workflowtemplate',
            name='workspaces',
            field=models.ManyToManyField(blank=True, help_text='Their members see it while they work in one of them.', related_name='+', to='accounts.workspace'),
        ),
        migrations.AlterField(
            model_name='workflowtemplate',
            name='groups',
            field=models.ManyToManyField(blank=True, help_text='Their members see it.', to='auth.group'),
        ),
        migrations.AlterField(
            model_name='workflowtemplate',
            name='visibility',
            field=models.CharField(choices=[('everyone', 'Everyone who is signed in'), ('groups', 'Members of the chosen groups'), ('workspaces', 'Members of the chosen workspaces, while they work there'), ('staff', 'Staff only')], default='everyone', help_text='Staff always see it, too.', max_length=16, verbose_name='who sees it'),
        ),
        migrations.AddConstraint(
            model_name='workflowtemplate',
            constraint=models.CheckConstraint(condition=models.Q(('visibility__in', ['everyone', 'groups', 'workspaces', 'staff'])), name='template_visibility_known'),
        ),
    ]
