from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "accounts"
    verbose_name = "Accounts"

    def ready(self) -> None:
        """Whoever signs out while they impersonate somebody ends that, too."""
        from django.contrib.auth.signals import user_logged_out

        from accounts import impersonation

        user_logged_out.connect(impersonation.note_sign_out)
