"""Tokens of the REST interface: made, and revoked. What they let in with is never stored."""

from datetime import datetime

from sqlalchemy import Engine, insert, update

from db.actor import present
from db.models_access import ApiToken
from db.session import DatabaseProblem, NotThere
from db.writes.guarded import needs
from db.writes.rows import clock


@needs("admin")
def keep_token(
    engine: Engine, name: str, role: str, prefix: str, sha256: str, expires_at: datetime
) -> int:
    """Keep a token's hash under a name; its id.

    Raises:
        DatabaseProblem: the name is that of a token which is still good
    """
    with engine.begin() as c:
        at = clock(c)
        good = (ApiToken.name == name, ApiToken.revoked_at.is_(None), ApiToken.expires_at > at)
        if c.execute(ApiToken.__table__.select().where(*good)).first() is not None:
            raise DatabaseProblem(f"There is a token {name!r} already; revoke it, or choose another name.")  # fmt: skip
        about = {"name": name, "role": role, "prefix": prefix, "sha256": sha256}
        about |= {"created_by": present().name[:200]}
        made = insert(ApiToken).values(**about, created_at=at, expires_at=expires_at)
        return int(c.execute(made.returning(ApiToken.id)).scalar_one())


@needs("admin")
def revoke_token(engine: Engine, name: str) -> int:
    """Let nobody in any more by the tokens of this name or prefix; how many were good until now.

    Raises:
        NotThere: there is no such token
    """
    mine = (ApiToken.name == name) | (ApiToken.prefix == name)
    with engine.begin() as c:
        if c.execute(ApiToken.__table__.select().where(mine)).first() is None:
            raise NotThere(f"There is no token {name!r}; `token list` names them.")
        gone = update(ApiToken).where(mine, ApiToken.revoked_at.is_(None))
        return int(c.execute(gone.values(revoked_at=clock(c))).rowcount)
