-- The database as it is after all migrations, to be read. A test holds it against what the migrations make.
-- Laws: enterprise_id is the first column of every key; what was said of an enterprise outlives its removal.

CREATE TYPE delivery_kind AS ENUM ('popup', 'history', 'customer', 'follow_up', 'webhook');
CREATE TYPE delivery_status AS ENUM ('due', 'sent', 'dropped', 'parked');

-- Whom we work for. Secrets are sealed with the keyring.
CREATE TABLE enterprises (
    enterprise_id    text        PRIMARY KEY,
    name             text        NOT NULL,
    time_zone        text,       -- NULL: the CRM's settings know
    region           text        NOT NULL,
    client_id        text        NOT NULL UNIQUE,
    webhook_secret   bytea       NOT NULL,
    crm_url          text        NOT NULL,
    crm_api_key      bytea       NOT NULL,
    crm_site         text,
    credit           text        NOT NULL CHECK (credit IN ('first', 'last')),
    create_customers boolean     NOT NULL,
    create_orders    boolean     NOT NULL,
    created_at       timestamptz NOT NULL DEFAULT now(),
    updated_at       timestamptz NOT NULL DEFAULT now(),
    module_code      text,       -- NULL: our usual one
    responsible_mode     text    NOT NULL DEFAULT 'off' CHECK (responsible_mode IN ('off', 'name', 'route')),
    responsible_dialplan text    NOT NULL DEFAULT 'mngr{extension}_{line}_1',
    responsible_fallback text    NOT NULL DEFAULT 'none' CHECK (responsible_fallback IN ('none', 'last_call')),
    responsible_name     text[]  NOT NULL DEFAULT '{customer}',
    -- What is made in the CRM of a missed call.
    create_tasks         boolean  NOT NULL DEFAULT false,
    missed_wait          interval NOT NULL DEFAULT '3 minutes',
    missed_never_for     text[]   NOT NULL DEFAULT '{}',
    task_performer       integer,
    missed_text          text     NOT NULL DEFAULT 'Пропущенный звонок',
    task_within          interval NOT NULL DEFAULT '1 hour',
    order_method         text,
    order_type           text,
    order_status         text,
    order_status_reached text,
    recordings_keep  interval    CHECK (recordings_keep > '0'), -- NULL: as long as they are there
    links_valid      interval    CHECK (links_valid > '0'),     -- NULL: as long as recordings are kept
    supervisors      text[]      NOT NULL DEFAULT '{}'          -- whose phones may listen in
);

CREATE TABLE hosts (
    enterprise_id     text    NOT NULL REFERENCES enterprises ON DELETE CASCADE,
    host              text    NOT NULL,
    address           text    NOT NULL,
    port              integer NOT NULL CHECK (port BETWEEN 1 AND 65535),
    username          text    NOT NULL,
    secret            bytea   NOT NULL,
    internal          text    NOT NULL,
    trunks            text[]  NOT NULL,
    originate_channel text    NOT NULL,
    originate_context text    NOT NULL,
    recordings        text,
    originate_number  text    NOT NULL DEFAULT 'as_given'
        CHECK (originate_number IN ('as_given', 'e164', 'digits', 'national')),
    recordings_password bytea, -- sealed
    PRIMARY KEY (enterprise_id, host)
);

CREATE TABLE operators (
    enterprise_id text NOT NULL REFERENCES enterprises ON DELETE CASCADE,
    extension     text NOT NULL,
    crm_user      integer,
    name          text,
    PRIMARY KEY (enterprise_id, extension)
);

CREATE TABLE lines (
    enterprise_id text NOT NULL REFERENCES enterprises ON DELETE CASCADE,
    number        text NOT NULL,
    site          text,
    name          text,
    PRIMARY KEY (enterprise_id, number)
);

-- Whom of an enterprise's own systems we tell of its calls. events NULL: of everything. secret, previous_secret: sealed; what
-- is told is signed with both.
CREATE TABLE webhooks (
    enterprise_id   text        NOT NULL REFERENCES enterprises ON DELETE CASCADE,
    name            text        NOT NULL,
    url             text        NOT NULL,
    secret          bytea       NOT NULL,
    previous_secret bytea,
    events          text[],
    PRIMARY KEY (enterprise_id, name)
);

-- What the CRM said last of our module in an account. moved_to NULL: the account is where its file says.
-- unheeded: an address that the CRM named and that is sent nothing.
CREATE TABLE crm_modules (
    enterprise_id text        PRIMARY KEY REFERENCES enterprises ON DELETE CASCADE,
    active        boolean     NOT NULL,
    frozen        boolean     NOT NULL,
    told_at       timestamptz NOT NULL,
    moved_to      text,
    unheeded      text
);

-- How an operator (crm_user: RetailCRM's id of him) stands, as the CRM told last. extension: his code there, if it said.
CREATE TABLE operator_statuses (
    enterprise_id text        NOT NULL REFERENCES enterprises ON DELETE CASCADE,
    crm_user      bigint      NOT NULL,
    extension     text,
    status        text        NOT NULL CHECK (status IN ('free', 'busy', 'dinner', 'break')),
    told_at       timestamptz NOT NULL,
    PRIMARY KEY (enterprise_id, crm_user)
);

-- All that hosts said of calls, append-only, and never deleted: a fact that stands here is told to no CRM again, also when
-- its deliveries are long gone. seq: the order in which it was written, and became visible (facts_in_turn).
CREATE TABLE facts (
    enterprise_id text        NOT NULL,
    host          text        NOT NULL,
    key           text        NOT NULL,
    seq           bigint      GENERATED ALWAYS AS IDENTITY,
    call_id       text        NOT NULL,
    kind          text        NOT NULL,
    at            timestamptz NOT NULL,
    body          jsonb       NOT NULL,
    recorded_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (enterprise_id, host, key)
);
CREATE INDEX facts_by_call ON facts (enterprise_id, call_id, seq);
CREATE INDEX facts_in_order ON facts (enterprise_id, seq);

-- One transaction at a time writes facts: its turn comes before its first seq and lasts until its commit. So whoever has
-- seen a seq has seen all smaller ones that there will ever be. docs/adr/0034.
CREATE FUNCTION take_turn() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('amibridge facts', 0));
    RETURN NULL;
END
$$;
CREATE TRIGGER facts_in_turn BEFORE INSERT ON facts FOR EACH STATEMENT EXECUTE FUNCTION take_turn();

-- Facts that PostgreSQL would not take; body is what they looked like.
CREATE TABLE rejected_facts (
    enterprise_id text        NOT NULL,
    host          text        NOT NULL,
    key           text        NOT NULL,
    kind          text        NOT NULL,
    body          text        NOT NULL,
    error         text        NOT NULL,
    rejected_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (enterprise_id, host, key)
);

-- Calls that go on now. body: the last fact said of the call.
CREATE TABLE live_calls (
    enterprise_id text        NOT NULL,
    call_id       text        NOT NULL,
    host          text        NOT NULL,
    direction     text        NOT NULL,
    started_at    timestamptz NOT NULL,
    updated_at    timestamptz NOT NULL,
    body          jsonb       NOT NULL,
    PRIMARY KEY (enterprise_id, call_id)
);
CREATE INDEX live_calls_by_host ON live_calls (enterprise_id, host);

-- One row for each call that ended: the call record of docs/call-record.md.
CREATE TABLE calls (
    enterprise_id   text        NOT NULL,
    call_id         text        NOT NULL,
    host            text        NOT NULL,
    direction       text        NOT NULL,
    outcome         text        NOT NULL,
    reason          text,
    external_number text,
    phone           text,
    caller_name     text,
    line            text,
    queue           text,
    rang            text[]      NOT NULL,
    operators       text[]      NOT NULL,
    caller          text,
    started_at      timestamptz NOT NULL,
    rang_at         timestamptz,
    answered_at     timestamptz,
    ended_at        timestamptz NOT NULL,
    waited          interval    NOT NULL,
    talked          interval    NOT NULL,
    hangup_by       text,
    transfers       jsonb       NOT NULL,
    recordings      text[]      NOT NULL,
    click_to_call   text,
    complete        boolean     NOT NULL,
    notes           text[]      NOT NULL,
    PRIMARY KEY (enterprise_id, call_id)
);
CREATE INDEX calls_by_time ON calls (enterprise_id, started_at);
CREATE INDEX calls_by_phone ON calls (enterprise_id, phone, started_at) WHERE phone IS NOT NULL;
CREATE INDEX calls_by_verdict ON calls (enterprise_id, direction, outcome, started_at);

-- Which extensions called, rang or talked in a call, each once; started_at: the call's.
CREATE TABLE call_extensions (
    enterprise_id text        NOT NULL,
    call_id       text        NOT NULL,
    extension     text        NOT NULL,
    started_at    timestamptz NOT NULL,
    PRIMARY KEY (enterprise_id, call_id, extension),
    FOREIGN KEY (enterprise_id, call_id) REFERENCES calls ON DELETE CASCADE
);
CREATE INDEX call_extensions_by_time ON call_extensions (enterprise_id, extension, started_at);

-- One row for each time a phone was tried for a call. ordinal: the order within the call.
CREATE TABLE attempts (
    enterprise_id text    NOT NULL,
    call_id       text    NOT NULL,
    ordinal       integer NOT NULL,
    extension     text    NOT NULL,
    rang_at       timestamptz,
    joined_at     timestamptz,
    left_at       timestamptz,
    outcome       text    NOT NULL,
    PRIMARY KEY (enterprise_id, call_id, ordinal)
);
CREATE INDEX attempts_by_operator ON attempts (enterprise_id, extension, rang_at);

-- What the CRM and the webhooks must hear, and what became of it. fresh_until NULL: never too late. first_tried_at NULL: no
-- try failed. webhook: the name of the one that is told; empty: the CRM is.
CREATE TABLE deliveries (
    enterprise_id text            NOT NULL,
    id            bigint          GENERATED ALWAYS AS IDENTITY,
    host          text            NOT NULL,
    call_id       text            NOT NULL,
    fact_key      text            NOT NULL,
    kind          delivery_kind   NOT NULL,
    status        delivery_status NOT NULL DEFAULT 'due',
    attempts      integer         NOT NULL DEFAULT 0,
    due_at        timestamptz     NOT NULL DEFAULT now(),
    fresh_until   timestamptz,
    last_answer   text,
    created_at    timestamptz     NOT NULL DEFAULT now(),
    settled_at    timestamptz,
    first_tried_at timestamptz,
    webhook       text            NOT NULL DEFAULT '',
    PRIMARY KEY (enterprise_id, id),
    CHECK ((status = 'due') = (settled_at IS NULL))
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 500);
CREATE UNIQUE INDEX deliveries_once ON deliveries (enterprise_id, host, fact_key, kind, webhook);
CREATE INDEX deliveries_unfinished ON deliveries (enterprise_id, status, webhook, id) WHERE status IN ('due', 'parked');
CREATE INDEX deliveries_by_call ON deliveries (enterprise_id, call_id);
CREATE INDEX deliveries_by_state ON deliveries (enterprise_id, status, kind, created_at, id);

-- Every request to a CRM, masked and bounded; the same question with an empty answer, asked every few minutes, is left
-- out. calls, deliveries: what it told of, for which time (attempt). http_status NULL: no answer came. failure: why it was
-- no success. verdict: what became of the deliveries; next_attempt_at: when the first of those still due is tried again.
CREATE TABLE crm_requests (
    enterprise_id   text        NOT NULL,
    id              bigint      GENERATED ALWAYS AS IDENTITY,
    at              timestamptz NOT NULL,
    verb            text        NOT NULL,
    address         text        NOT NULL,
    calls           text[]      NOT NULL,
    deliveries      bigint[]    NOT NULL,
    attempt         integer     NOT NULL,
    http_status     integer,
    took            interval    NOT NULL,
    failure         text,
    verdict         text,
    next_attempt_at timestamptz,
    request         text        NOT NULL,
    answer          text        NOT NULL,
    PRIMARY KEY (enterprise_id, id)
) WITH (autovacuum_vacuum_scale_factor = 0.02);

-- In which requests a call was told of.
CREATE TABLE crm_requests_of_calls (
    enterprise_id text   NOT NULL,
    call_id       text   NOT NULL,
    request_id    bigint NOT NULL,
    PRIMARY KEY (enterprise_id, call_id, request_id)
) WITH (autovacuum_vacuum_scale_factor = 0.02);

-- Changes of a call that the core did not understand, the newest of each host. passed_over: how many before it were only
-- counted. trace: the raw AMI that was heard of the call lately.
CREATE TABLE anomalies (
    enterprise_id text        NOT NULL,
    id            bigint      GENERATED ALWAYS AS IDENTITY,
    host          text        NOT NULL,
    call_id       text        NOT NULL,
    at            timestamptz NOT NULL,
    text          text        NOT NULL,
    passed_over   integer     NOT NULL,
    trace         bytea       NOT NULL,
    recorded_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (enterprise_id, id)
);
CREATE INDEX anomalies_by_host ON anomalies (enterprise_id, host, id);

-- Which customer in the CRM has which phone (E.164). made_for: the call for which we made him, NULL if he was found.
-- enterprise_number: the same as enterprise_id, for software that knows this table by that name.
CREATE TABLE retailcrm_customers (
    enterprise_id         text        NOT NULL,
    phone                 text        NOT NULL,
    retailcrm_customer_id bigint      NOT NULL,
    enterprise_number     text        GENERATED ALWAYS AS (enterprise_id) STORED,
    created_at            timestamptz NOT NULL DEFAULT now(),
    updated_at            timestamptz NOT NULL DEFAULT now(),
    made_for              text,
    PRIMARY KEY (enterprise_id, phone)
);
CREATE INDEX retailcrm_customers_by_customer ON retailcrm_customers (enterprise_id, retailcrm_customer_id);

-- Tasks and orders that we made in the CRM for missed calls: one of a call, one open of a phone (E.164) at a time.
-- account, site: the address and the store where. mark: by which it is found there. missed_at: when he began to call, the last time that it
-- stands for; whoever is reached later ends it. crm_id NULL: asked for, and not known whether it was made. crm_status: the order's, as we left it.
CREATE TABLE follow_ups (
    enterprise_id text        NOT NULL,
    call_id       text        NOT NULL,
    phone         text        NOT NULL,
    kind          text        NOT NULL CHECK (kind IN ('task', 'order')),
    account       text        NOT NULL,
    site          text,
    mark          text        NOT NULL,
    missed_at     timestamptz NOT NULL,
    crm_id        bigint,
    crm_status    text,
    created_at    timestamptz NOT NULL DEFAULT now(),
    closed_at     timestamptz,
    ending        text        CHECK (ending IN ('reached', 'by others', 'gone', 'account left')),
    PRIMARY KEY (enterprise_id, call_id),
    CHECK ((closed_at IS NULL) = (ending IS NULL))
);
CREATE UNIQUE INDEX follow_ups_open ON follow_ups (enterprise_id, phone) WHERE closed_at IS NULL;
CREATE INDEX follow_ups_closed ON follow_ups (enterprise_id, closed_at) WHERE closed_at IS NOT NULL;

-- Customers as the CRM tells of them. name: empty when nobody wrote one. merged_into: who remained of two.
-- deleted_at: since when we know that the CRM has the row no more. seen_at: when it was asked last.
CREATE TABLE crm_customers (
    enterprise_id text        NOT NULL,
    customer_id   bigint      NOT NULL,
    external_id   text,
    name          text        NOT NULL,
    site          text,
    manager_id    bigint,
    is_contact    boolean     NOT NULL,
    vip           boolean     NOT NULL,
    created_at    timestamptz,
    deleted_at    timestamptz,
    merged_into   bigint,
    seen_at       timestamptz NOT NULL,
    PRIMARY KEY (enterprise_id, customer_id)
);

-- Their phones (E.164), those that can be one. Several customers may have the same.
CREATE TABLE crm_phones (
    enterprise_id text   NOT NULL,
    phone         text   NOT NULL,
    customer_id   bigint NOT NULL,
    PRIMARY KEY (enterprise_id, phone, customer_id)
);
CREATE INDEX crm_phones_by_customer ON crm_phones (enterprise_id, customer_id);

-- Orders as the CRM tells of them. customer_id: the person, of a company its contact; company_id: that company.
-- manager_id: the CRM's user who looks after it. total: what is to be paid, in currency. phone: E.164.
CREATE TABLE crm_orders (
    enterprise_id     text        NOT NULL,
    order_id          bigint      NOT NULL,
    number            text,
    external_id       text,
    site              text,
    customer_id       bigint,
    company_id        bigint,
    phone             text,
    manager_id        bigint,
    status            text,
    status_group      text,
    total             numeric,
    currency          text,
    order_method      text,
    created_at        timestamptz,
    status_changed_at timestamptz,
    paid_at           timestamptz,
    deleted_at        timestamptz,
    seen_at           timestamptz NOT NULL,
    PRIMARY KEY (enterprise_id, order_id)
);
CREATE INDEX crm_orders_by_customer ON crm_orders (enterprise_id, customer_id, created_at);
CREATE INDEX crm_orders_by_manager ON crm_orders (enterprise_id, manager_id, created_at);
CREATE INDEX crm_orders_by_phone ON crm_orders (enterprise_id, phone, created_at) WHERE phone IS NOT NULL;

-- How far each history of an account is read. since_id NULL: no change was seen since started_at.
-- backfilled_from: orders created on this day or later are known, those older than started_at too.
CREATE TABLE crm_cursors (
    enterprise_id   text        NOT NULL,
    history         text        NOT NULL CHECK (history IN ('customers', 'orders')),
    account         text        NOT NULL,
    started_at      timestamptz NOT NULL,
    since_id        bigint,
    backfilled_from date,
    moved_at        timestamptz NOT NULL,
    PRIMARY KEY (enterprise_id, history)
);

-- What opens the API, beside client_id: of an enterprise's tokens only their SHA-256. expires_at NULL: never.
-- revoked_at NULL: it is good.
CREATE TABLE api_tokens (
    enterprise_id text        NOT NULL REFERENCES enterprises ON DELETE CASCADE,
    id            bigint      GENERATED ALWAYS AS IDENTITY,
    digest        bytea       NOT NULL,
    scopes        text[]      NOT NULL,
    created_at    timestamptz NOT NULL,
    expires_at    timestamptz,
    revoked_at    timestamptz,
    PRIMARY KEY (enterprise_id, id)
);

-- What was done over HTTP or to tokens: who (never what opens anything), from where, what, on what, and how it ended.
-- request: the id in the answer and in the log.
CREATE TABLE audit (
    enterprise_id text        NOT NULL,
    id            bigint      GENERATED ALWAYS AS IDENTITY,
    at            timestamptz NOT NULL,
    who           text        NOT NULL,
    address       text        NOT NULL,
    action        text        NOT NULL,
    target        text        NOT NULL,
    outcome       text        NOT NULL,
    request       text        NOT NULL,
    PRIMARY KEY (enterprise_id, id)
);
CREATE INDEX audit_by_time ON audit (enterprise_id, at);
