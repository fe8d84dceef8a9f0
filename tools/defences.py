"""The defences of the server, and what it is without each: see without_defences.py."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Defence:
    """A piece of the server's code that stands against something, what stands in its place once it is taken out, and
    the tests that have to fail then. Files are named below server/src/deskplane, tests below server/tests; `database`
    is the one on which they fail; `also` are file, code and what stands in its place of what stands behind it."""

    against: str
    file: str
    code: str
    without: str
    tests: tuple[str, ...]
    database: str = "sqlite"
    also: tuple[tuple[str, str, str], ...] = ()


DEFENCES = (
    Defence(
        "scripts in mails",
        "kernel/markup.py",
        "    cleaned = nh3.clean(\n        html,\n        tags=_TAGS | _MORE_TAGS",
        "    return html\n    cleaned = nh3.clean(\n        html,\n        tags=_TAGS | _MORE_TAGS",
        (
            "mail/test_parsing.py::test_html_is_shown_without_anything_that_acts_or_asks_anybody",
            "tickets/test_messages.py::test_nothing_in_html_runs",
        ),
    ),
    Defence(
        "scripts in Markdown",
        "kernel/markup.py",
        "    return nh3.clean(\n        _markdown.render(text),\n        tags=_TAGS,",
        '    return MarkdownIt("commonmark", {"html": True}).render(text)\n    return nh3.clean(\n'
        "        _markdown.render(text),\n        tags=_TAGS,",
        (
            "tickets/test_messages.py::test_html_in_markdown_is_text",
            "kernel/test_markup.py::test_nothing_that_acts_by_itself_is_left",
        ),
    ),
    Defence(
        "SVG and HTML as attachments",
        "tickets/attachment_names.py",
        'return f"attachment; filename',
        'return f"inline; filename',
        ("tickets/test_attachments.py::test_whatever_a_file_is_a_browser_does_nothing_with_it",),
    ),
    Defence(
        "names of attachments",
        "tickets/attachment_names.py",
        r'text = _without_hidden(re.split(r"[/\\]", text)[-1]).strip().rstrip(". ")',
        "text = text.strip()",
        (
            "tickets/test_attachment_limits.py::test_names_are_cleaned",
            "mail/test_files_of_mails.py::test_a_name_is_only_ever_a_name",
        ),
    ),
    Defence(
        "double extensions",
        "tickets/attachment_names.py",
        "[*parts[-1:], *(part for part in parts[:-1] if part not in _OF_HOSTS)]",
        "parts[-1:]",
        ("tickets/test_attachment_limits.py::test_blocked_extensions_are_refused_however_they_are_written",),
    ),
    Defence(
        "attachments of another ticket",
        "tickets/attachments.py",
        "Attachment.id == attachment_id, Attachment.ticket_id == ticket_id, *readable(work.actor)",
        "Attachment.id == attachment_id, *readable(work.actor)",
        ("tickets/test_attachments.py::test_a_file_is_found_only_at_its_own_ticket",),
    ),
    Defence(
        "ids of another customer",
        "tickets/queries.py",
        "    return or_(own(actor), in_scope(actor))",
        "    return None",
        (
            "rights/test_two_customers.py::test_nobody_can_tell_that_something_of_another_customer_is_there",
            "rights/test_canary_crawler.py::test_no_canary_is_in_any_answer_of_who_may_not_read_it",
            "rights/test_ticket_rights.py::test_the_document_says_what_the_server_does_with_every_sort_of_ticket",
            "tickets/test_bulk_changes.py::test_a_foreign_ticket_is_answered_as_one_that_is_not_there",
        ),
    ),
    Defence(
        "more rights than one has",
        "kernel/http.py",
        "        raise forbidden(*operation.permission)\n",
        "        return actor, revision\n",
        (
            "rights/test_every_operation.py::test_every_operation_needs_what_the_page_says_and_nothing_else_does",
            "rights/test_rights.py::test_the_table_says_what_the_server_does",
        ),
    ),
    Defence(
        "keys that have expired",
        "people/service.py",
        "if row.expires_at is not None and row.expires_at <= now:",
        "if False:",
        ("rights/test_every_operation.py::test_no_operation_is_open_to_a_key_that_does_not_work",),
    ),
    Defence(
        "internal notes in mails",
        "mail/notifications.py",
        'TicketMessage.ticket_id == ticket_id, TicketMessage.direction != "internal"',
        "TicketMessage.ticket_id == ticket_id",
        ("mail/test_notifications.py::test_no_mail_holds_anything_internal",),
        also=(("tickets/messages.py", '    if direction != "internal" and told:\n', "    if told:\n"),),
    ),
    Defence(
        "internal notes in answers",
        "tickets/messages.py",
        'return [] if actor.may("tickets:read_internal") else [TicketMessage.direction != "internal"]',
        "return []",
        ("tickets/test_messages.py::test_no_internal_word_reaches_whoever_may_not_read_it",),
    ),
    Defence(
        "mass assignment",
        "kernel/http.py",
        "self.body_schema = operation.body(unknown=RAISE) if operation.body else None",
        'self.body_schema = operation.body(unknown="exclude") if operation.body else None',
        (
            "attack/test_fields_and_names.py::test_no_body_sets_what_is_the_servers_own",
            "attack/test_fields_and_names.py::test_what_an_answer_shows_and_no_body_takes_is_refused",
            "attack/test_links_and_accounts.py::test_nobody_names_rights_for_himself",
        ),
    ),
    Defence(
        "parameters that there are not, secrets among them",
        "kernel/http.py",
        "self.query_schema = operation.query(unknown=RAISE) if operation.query else None",
        'self.query_schema = operation.query(unknown="exclude") if operation.query else None',
        ("attack/test_fields_and_names.py::test_no_list_is_filtered_or_sorted_by_a_secret",),
    ),
    Defence(
        "forged Message-IDs",
        "mail/message_ids.py",
        'if vault.is_signed(_signed(f"{number}.{purpose}.{random}"), _as_vault_writes(signature)):',
        "if signature:",
        ("mail/test_message_ids.py::test_what_was_forged_names_nothing",),
    ),
    Defence(
        "strangers who name a ticket",
        "mail/threading_rules.py",
        "if found is not None and takes_part(work, found, sender):",
        "if found is not None:",
        ("mail/test_intake.py::test_who_is_a_stranger_to_a_ticket_does_not_get_onto_it",),
    ),
    Defence(
        "answers to what no person wrote",
        "mail/loops.py",
        "    automatic = is_automatic(header, return_path, sender)\n",
        "    return None\n    automatic = is_automatic(header, return_path, sender)\n",
        ("mail/test_loops.py::test_what_no_person_wrote_is_not_answered",),
    ),
    Defence(
        "storms of automatic replies",
        "mail/loops.py",
        "    now = work.clock.now()\n    answers =",
        "    return None\n    now = work.clock.now()\n    answers =",
        (
            "mail/test_loops.py::test_two_mailboxes_that_echo_each_other_stop_at_the_cap",
            "mail/test_answers.py::test_one_address_gets_so_many_answers_whatever_it_sends",
        ),
    ),
    Defence(
        "line breaks in headers",
        "mail/headers.py",
        '    text = _SEEN_BY_NOBODY.sub("", _CONTROL.sub(" ", text))\n    text = " ".join(text.split())\n',
        "",
        ("mail/test_parsing.py::test_a_header_in_a_name_adds_no_header",),
    ),
    Defence(
        "made-up hosts in links",
        "login/letters.py",
        """f"{str(setting(work, 'public_url')).rstrip('/')}/""",
        'f"{work.public_address}/',
        ("attack/test_other_sites.py::test_a_link_is_never_about_the_host_that_a_request_names",),
    ),
    Defence(
        "links that were used",
        "login/tokens.py",
        "    used = delete(LoginToken).where(*_good(work, purposes, token)).returning(*_COLUMNS)\n"
        "    return _found(work.session.execute(used).first())",
        "    return find(work, purposes, token)",
        ("attack/test_links_and_accounts.py::test_a_link_works_once_and_for_what_it_was_sent_for_only",),
    ),
    Defence(
        "links that are too old",
        "login/tokens.py",
        "        LoginToken.expires_at > work.clock.now(),\n",
        "",
        ("login/test_passwords.py::test_a_link_dies",),
    ),
    Defence(
        "finding out who has an account",
        "login/hashing.py",
        "        right = password_matches(password, stored or _nobodys(service.parameters()))\n",
        "        right = bool(stored) and password_matches(password, stored)\n",
        (
            "attack/test_guessing.py::test_names_that_there_are_not_are_answered_alike",
            "attack/test_guessing.py::test_it_takes_as_long_for_a_name_that_there_is_not",
        ),
    ),
    Defence(
        "guessing passwords",
        "login/attempts.py",
        "    if allowance.left < least:\n",
        "    if False:\n",
        (
            "attack/test_guessing.py::test_ten_thousand_guesses_from_many_addresses_come_to_a_stop",
            "attack/test_guessing.py::test_limits_hold_for_two_servers_together",
            "attack/test_live_guesses.py::test_guesses_from_many_addresses_are_stopped_and_hurt_nobody",
        ),
    ),
    Defence(
        "addresses inside",
        "kernel/safe_http.py",
        "    return not any(address in network for network in _REFUSED)\n",
        "    return True\n",
        (
            "webhooks/test_deliveries.py::test_an_address_inside_is_refused_when_it_is_saved_tested_and_sent",
            "kernel/test_safe_http.py::test_odd_ways_of_writing_an_address_are_seen_through_when_it_is_saved_and_when_it_is_called",
        ),
    ),
    Defence(
        "IPv4 in IPv6",
        "kernel/safe_http.py",
        "    if isinstance(address, IPv6Address) and (address.ipv4_mapped or address in _NAT64):\n",
        "    if False:\n",
        ("kernel/test_safe_http.py::test_a_network_that_is_allowed_is_meant_in_every_way_of_writing_it",),
    ),
    Defence(
        "names that change their address",
        "kernel/safe_http.py",
        "                connection.connect((address, port))\n",
        "                connection.connect((self.resolve(host, port)[0], port))\n",
        ("kernel/test_safe_http.py::test_the_address_that_was_looked_at_is_the_one_that_is_called",),
    ),
    Defence(
        "code in templates",
        "kernel/placeholders.py",
        '    return PLACEHOLDER.sub(lambda found: written(values[found.group(1) or found.group(2) or ""]), text)\n',
        '    for name, value in values.items():\n        text = text.replace("{{" + name + "}}", value)'
        '.replace("{{ " + name + " }}", value).replace("${" + name + "}", value)\n    return text\n',
        (
            "webhooks/test_deliveries.py::test_placeholders_are_filled_in_texts_of_the_template_and_nothing_else_is_evaluated",
            "tickets/test_messages.py::test_a_template_of_html_keeps_its_html_and_what_is_filled_in_stays_text",
        ),
    ),
    Defence(
        "stack traces",
        "kernel/http.py",
        '500, "internal", "the server met an error of its own; its log has the details under this request_id"',
        '500, "internal", str(error)',
        ("kernel/test_observability.py::test_an_error_of_our_own_is_told_without_what_was_sent",),
    ),
    Defence(
        "names in archives",
        "backup/archive.py",
        '            if found is None or found[1] not in self.header["tables"]:\n',
        "            if found is None:\n                continue\n            if False:\n",
        ("backup/test_backup_and_restore.py::test_nothing_of_an_archive_is_believed_for_its_name",),
    ),
    Defence(
        "pages of other sites",
        "kernel/cookies.py",
        '    site = request.headers.get("Sec-Fetch-Site")\n',
        '    return\n    site = request.headers.get("Sec-Fetch-Site")\n',
        ("attack/test_other_sites.py::test_a_page_of_another_site_logs_nobody_in",),
    ),
    Defence(
        "requests without the session's token",
        "kernel/cookies.py",
        '    if not vault.is_signed(_signed(session_token), request.headers.get(CSRF_HEADER, "")):\n',
        "    if False:\n",
        ("attack/test_other_sites.py::test_without_the_token_of_the_session_nothing_changes",),
    ),
    Defence(
        "two first administrators",
        "login/registration_api.py",
        "        self.accounts.lock(call)\n        if has_administrator(call):\n",
        "        if False:\n",
        ("attack/test_links_and_accounts.py::test_of_many_first_registrations_at_once_one_makes_the_administrator",),
    ),
    Defence(
        "a token of the set-up that works twice",
        "login/registration_api.py",
        "        if has_administrator(call):\n"
        '            raise conflict("has_administrator", "there is an administrator already")\n'
        '        tokens.use(call, (SETUP,), call.body["setup_token"])\n',
        "",
        (
            "attack/test_live_guesses.py::"
            "test_of_twenty_first_registrations_with_one_token_at_two_processes_one_makes_the_administrator",
        ),
        database="postgresql",
    ),
    Defence(
        "SQL in names to sort by",
        "kernel/pagination.py",
        '        raise invalid_field("sort", "not_allowed",',
        '        return next(iter(orders.values()))\n        raise invalid_field("sort", "not_allowed",',
        ("attack/test_fields_and_names.py::test_names_to_sort_by_are_no_sql",),
        also=(("kernel/fields.py", "if text not in self._choices:", "if False:"),),
    ),
    Defence(
        "passwords of 10 MB",
        "login/schemas.py",
        "by_reference=False, longest=1024, shortest=1, required=True",
        "by_reference=False, longest=100_000_000, shortest=1, required=True",
        ("attack/test_guessing.py::test_a_password_of_ten_megabytes_is_refused_before_it_is_hashed",),
    ),
    Defence(
        "mails that break the parser",
        "mail/parsing.py",
        'raise Unreadable(f"it has {lines} lines and',
        'print(f"it has {lines} lines and',
        ("mail/test_parsing.py::test_what_would_take_too_long_is_refused_at_once",),
    ),
    Defence(
        "forged tokens of an identity provider: signatures",
        "oidc/id_tokens.py",
        "        found = orjson.loads(jws.deserialize_compact(token, public, registry=_Registry([algorithm])).payload)",
        "        found = orjson.loads(base64.urlsafe_b64decode(token.split('.')[1] + '=='))",
        ("oidc/test_oidc_tokens.py::test_a_forged_token_lets_nobody_in",),
    ),
    Defence(
        "forged tokens of an identity provider: whose, for whom, for which login",
        "oidc/id_tokens.py",
        "    _check(claims, expected)\n",
        "",
        ("oidc/test_oidc_tokens.py::test_a_forged_token_lets_nobody_in",),
    ),
    Defence(
        "logins at a provider that another browser began",
        "oidc/flow.py",
        'f"{provider.id} {state} {browser}"',
        'f"{provider.id} {state}"',
        ("oidc/test_oidc_logins.py::test_a_login_is_finished_once_in_its_browser_within_ten_minutes",),
    ),
    Defence(
        "logins at a provider that are finished twice",
        "oidc/flow.py",
        "delete(LoginToken).where(*here).returning(LoginToken.data)",
        '__import__("sqlalchemy").select(LoginToken.data).where(*here)',
        ("oidc/test_oidc_logins.py::test_a_login_is_finished_once_in_its_browser_within_ten_minutes",),
    ),
    Defence(
        "answers of another provider",
        "oidc/api.py",
        'if query["iss"] != provider.issuer and',
        "if False and",
        ("oidc/test_oidc_logins.py::test_who_is_let_in_by_another_provider_is_refused",),
    ),
    Defence(
        "accounts taken over by a name at a provider",
        "oidc/people.py",
        "    if there is not None:\n",
        "    if False:\n",
        ("oidc/test_oidc_people.py::test_a_name_alone_makes_nobody_its_owner",),
    ),
    Defence(
        "accounts taken over by a mail address at a provider",
        "oidc/exchange.py",
        'if claims.get("email_verified") is True else None',
        "",
        ("oidc/test_oidc_people.py::test_a_mail_address_links_where_that_is_on_and_the_address_verified",),
    ),
    Defence(
        "identity providers that give more than one has",
        "oidc/rules.py",
        "    for name in roles_beyond(found.work, before):\n",
        "    for name in ():\n",
        ("oidc/test_oidc_providers.py::test_nobody_lets_in_whom_he_could_not_be_himself",),
    ),
    Defence(
        "another site at the end of a login",
        "oidc/schemas.py",
        r'pattern=r"/(?![/\\])[\x21-\x5b\x5d-\x7e]*",',
        'pattern=r".*",',
        ("oidc/test_oidc_logins.py::test_nobody_is_sent_to_another_site_afterwards",),
    ),
    Defence(
        "codes that were used",
        "factors/totp.py",
        "        return step if step is not None and step > row.last_step else None\n",
        "        return step\n",
        ("factors/test_codes_of_an_app.py::test_a_code_works_once",),
    ),
    Defence(
        "too many requests",
        "kernel/throttle.py",
        "    if allowance.left < 0:\n",
        "    if False:\n",
        (
            "attack/test_rate_limits.py::test_a_key_has_so_many_requests_a_minute_wherever_they_come_from",
            "attack/test_rate_limits.py::test_two_servers_count_together",
        ),
    ),
    Defence(
        "too many connections",
        "serving.py",
        "    return max(2 * threads, min(MOST_CONNECTIONS, room))\n",
        "    return MOST_CONNECTIONS\n",
        ("crash/test_open_files.py::test_callers_who_stay_connected_take_no_files_from_those_who_come",),
    ),
    Defence(
        "lies about one's address",
        "app.py",
        "    if settings.trusted_proxies:\n        proxies = settings.trusted_proxies\n",
        "    if True:\n        proxies = settings.trusted_proxies or 1\n",
        ("attack/test_forwarded_addresses.py::test_without_a_trusted_proxy_nobody_says_how_he_came",),
    ),
    Defence(
        "pages of other origins",
        "kernel/cors.py",
        "    return origin if origin in allowed else None\n",
        "    return origin\n",
        ("attack/test_other_origins.py::test_every_other_origin_is_told_nothing",),
    ),
    Defence(
        "pages that frame, sniff or keep answers",
        "kernel/http.py",
        "        headers.tell(response.headers, request, server.public_address, server.transport)\n",
        "",
        (
            "attack/test_headers.py::test_every_operation_says_so_whatever_comes_of_it",
            "attack/test_headers.py::test_every_sort_of_error_says_so_too",
        ),
    ),
    Defence(
        "files that run in a browser",
        "kernel/headers.py",
        'FILE = f"sandbox; {NOTHING}"',
        "FILE = NOTHING",
        ("attack/test_headers.py::test_a_file_is_a_download_that_a_browser_does_nothing_with",),
    ),
    Defence(
        "origins let in by a pattern",
        "settings.py",
        '            if "*" in origin:',
        '            if "*" in origin and len(origin) == 0:',
        ("attack/test_other_origins.py::test_a_setting_that_lets_everybody_in_keeps_a_server_from_starting",),
    ),
    Defence(
        "addresses that callers make up",
        "app.py",
        "proxies = settings.trusted_proxies\n",
        "proxies = settings.trusted_proxies + 1\n",
        ("attack/test_forwarded_addresses.py::test_what_a_caller_writes_changes_nothing_of_where_he_is_seen",),
    ),
    Defence(
        "headers that gunicorn believes by itself",
        "serving.py",
        '            "forwarded_allow_ips": "",\n            "secure_scheme_headers": {},\n',
        "",
        ("attack/test_forwarded_addresses.py::test_without_a_trusted_proxy_nobody_says_how_he_came",),
    ),
    Defence(
        "floods from an address",
        "kernel/http.py",
        "        throttle.enter(request, server.throttle, server.clock, apart=request.endpoint in apart)\n",
        "",
        ("attack/test_rate_limits.py::test_an_address_has_so_many_before_anything_is_known_of_it",),
    ),
    Defence(
        "requests that drip",
        "sockets.py",
        "        if self._waited > PATIENCE + self._received / LEAST_RATE:\n            raise TooSlow\n",
        "",
        ("attack/test_hostile_connections.py::test_requests_that_come_byte_by_byte_do_not_keep_others_out",),
    ),
    Defence(
        "bodies that do not say how long they are",
        "kernel/http.py",
        "        request.max_content_length = most + 1\n",
        "        pass\n",
        ("attack/test_hostile_connections.py::test_a_body_without_a_length_is_no_larger_for_it",),
    ),
)
