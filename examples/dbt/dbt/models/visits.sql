-- In place of your tracker's table: five visits, two hours ago.
select
    'v' || range as visit_id,
    date_trunc('hour', now()) - interval 2 hour + interval (range) minute as occurred_at,
    '203.0.113.' || (range + 1) as client_ip_address,
    'Mozilla/5.0 (X11; Linux x86_64)' as client_user_agent
from range(5)
