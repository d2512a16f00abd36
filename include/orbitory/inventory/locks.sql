-- Locks that a session holds, across its transactions. Those of one transaction stand with what they guard.

-- session_lock: wait until this session alone does this
SELECT pg_advisory_lock(%(work)s, hashtext(%(about)s));

-- session_try_lock: the same, without waiting
SELECT pg_try_advisory_lock(%(work)s, hashtext(%(about)s)) AS taken;

-- session_unlock: let the next one begin
SELECT pg_advisory_unlock(%(work)s, hashtext(%(about)s));
