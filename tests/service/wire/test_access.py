"""Who may call: every way in, and every refusal."""

import pytest

from service.identity import Identity, Role
from service.wire.access import require_admin
from service.wire.refusals import Refusal


def test_only_admins_pass_where_what_is_served_changes():
    require_admin(Identity("acme", Role.ADMIN))
    with pytest.raises(Refusal, match="the call needs the role admin") as refused:
        require_admin(Identity("acme"))
    assert refused.value.code.name == "PERMISSION_DENIED"
    assert refused.value.details[0].reason == "ADMIN_REQUIRED"
