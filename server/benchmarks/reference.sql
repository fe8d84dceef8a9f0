-- The reference skeleton's tables: the columns of a ticket's answer, and the indexes that its four requests need.
CREATE TABLE user (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE department (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE ticket_type (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE sla_policy (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE api_key (id TEXT PRIMARY KEY, digest TEXT NOT NULL, user_id INTEGER NOT NULL REFERENCES user (id));
CREATE TABLE counter (prefix TEXT PRIMARY KEY, value INTEGER NOT NULL);
CREATE TABLE ticket (
  id INTEGER PRIMARY KEY, prefix TEXT NOT NULL, serial INTEGER NOT NULL,
  title TEXT NOT NULL, description TEXT, description_html TEXT, type_id INTEGER REFERENCES ticket_type (id),
  priority TEXT NOT NULL, effective_priority TEXT NOT NULL, status TEXT NOT NULL, remind_at TEXT,
  customer_id INTEGER REFERENCES customer (id), department_id INTEGER REFERENCES department (id),
  reporter_id INTEGER REFERENCES user (id), assignee_id INTEGER REFERENCES user (id),
  owner_id INTEGER REFERENCES user (id), tags TEXT NOT NULL DEFAULT '[]', labels TEXT NOT NULL DEFAULT '[]',
  source TEXT, correlation_key TEXT, occurrences INTEGER NOT NULL DEFAULT 1, last_occurred_at TEXT,
  reopened_count INTEGER NOT NULL DEFAULT 0, created_at TEXT NOT NULL, created_by_id INTEGER REFERENCES user (id),
  updated_at TEXT NOT NULL, resolved_at TEXT, closed_at TEXT, policy_id INTEGER REFERENCES sla_policy (id),
  response_state TEXT, response_due_at TEXT, response_warn_at TEXT, response_critical_at TEXT, response_met_at TEXT,
  resolution_state TEXT, resolution_due_at TEXT, resolution_warn_at TEXT, resolution_critical_at TEXT,
  resolution_met_at TEXT, UNIQUE (prefix, serial));
CREATE INDEX ticket_status ON ticket (status, updated_at, id);
CREATE TABLE history (
  id INTEGER PRIMARY KEY, ticket_id INTEGER NOT NULL REFERENCES ticket (id), at TEXT NOT NULL, by_id INTEGER,
  field TEXT NOT NULL, old TEXT, new TEXT, cause TEXT NOT NULL);
CREATE INDEX history_ticket ON history (ticket_id, id);
CREATE TABLE outbox (
  id INTEGER PRIMARY KEY, event TEXT NOT NULL, body TEXT NOT NULL, created_at TEXT NOT NULL, next_at TEXT NOT NULL);
