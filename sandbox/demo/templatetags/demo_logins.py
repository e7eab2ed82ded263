from django import template

from sandbox.demo import people

register = template.Library()


@register.simple_tag
def demo_logins() -> dict[str, object] | None:
    """The demo logins and their password; `None` where they must not be shown."""
    if not people.are_logins_shown():
        return None
    return {"people": people.PEOPLE, "password": people.PASSWORD}
