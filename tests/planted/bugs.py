"""The bugs: each breaks one promise in the way that real senders have broken it. What catches it stands in docs/planted-bugs.md."""

from __future__ import annotations

from tests.planted.plant import Bug, Swap

FLIGHT = "daemon.store.flight"
RECOVER = "daemon.store.recover"
CLAIM = "daemon.store.claim"
FACTS = "daemon.store.facts"
PLAN = "daemon.store.plan"
STORE = ("store", "machine", "simulation")
SENDING = ("store", "machine", "simulation")
RULES = ("rules", "machine", "simulation")
COMMIT_NOW = '    conn.exec_driver_sql("COMMIT")\n    conn.exec_driver_sql("BEGIN IMMEDIATE")\n'


def _bug(name: str, what: str, layers: tuple[str, ...], *swaps: tuple[str, str, str]) -> Bug:
    return Bug(name=name, what=what, layers=layers, swaps=tuple(Swap(module=m, old=old, new=new) for m, old, new in swaps))


HANDOVER = (
    _bug("epoch-dropped", "A claim that was taken away is still granted.", STORE,
         (FLIGHT, "            if (delivery, epoch) in wanted:\n", "            if any(delivery == asked for asked, _ in wanted):\n"),
         (FLIGHT, "for pair in step.grants if pair in granted]", "for pair in step.grants if pair[0] in {delivery for delivery, _ in granted}]")),
    _bug("stale-outcome-counts", "What a lost claim reports is recorded for the claim in force.", STORE,
         (FLIGHT, "        if (result := results.get((flight.delivery, flight.epoch))) is not None:\n",
          "        for result in [one for (told_of, _), one in results.items() if told_of == flight.delivery]:\n")),
    _bug("granted-twice", "A second ask for what is handed over is granted too.", STORE,
         (FLIGHT, "        s.flight.c.handed_over == 0,\n", "")),
    _bug("window-at-claim-only", "The window's close is not looked at when the message goes.", STORE,
         (FLIGHT, '        s.flight.c.closes > bindparam("now"),\n', "")),
    _bug("granted-before-judged", "A clock that went back between claim and handover is not noticed.", STORE,
         (FLIGHT, '        s.flight.c.claimed_at <= bindparam("now"),', "")),
    _bug("guard-not-compared", "An unsubscribe between claim and handover does not stop the message.", STORE,
         (FLIGHT, "        s.flight.c.person_guard == s.recipient.c.guard,\n", "")),
    _bug("pause-not-seen", "Queue, job and campaign that are stopped after the claim do not stop the message.", STORE,
         (FLIGHT, "        s.flight.c.campaign_guard == s.campaign.c.guard,\n        s.flight.c.job_guard == s.job.c.guard,\n", ""),
         (FLIGHT, "        s.flight.c.queue_guard == func.coalesce(s.queue.c.guard, 0),\n", "")),
    _bug("kill-switch-not-asked", "The gate is asked before the claim, not at the handover.", STORE,
         (FLIGHT, "    if not shut:\n", "    if shut is not None:\n")),
    _bug("handover-after-the-dot", "The message is written first, then leave is asked.", ("smtp", "simulation"),
         ("channels.smtp.courier",
          "            granted = letter.id in await self._session.handover([letter.id])\n            if granted and not grant.expired:\n"
          "                written = await self._write(link, letter, following)\n",
          "            written = await self._write(link, letter, following)\n"
          "            granted = letter.id in await self._session.handover([letter.id]) and not grant.expired\n")),
    _bug("outcome-a-step-late", "A connection's next handover is committed before the outcome of its last.", ("stages", "simulation"),
         ("daemon.dispatch.session",
          "        outcomes, self._pending = self._pending, []\n        if not wanted and not outcomes:\n",
          "        outcomes: list[Result] = []\n        if not wanted and not outcomes:\n")),
    _bug("dead-connection-reused", "After a timeout the connection goes on, and a late 250 answers for the next message.",
         ("smtp", "simulation"),
         ("channels.smtp.exchange", '            self.fail("timeout", f"no answer to {stage.upper()} in {self._seconds[stage]:g} s")\n',
          "            self._wake()\n"),
         ("channels.smtp.courier", '            link.exchange.fail("dropped", "after an answer that is none")\n', "            pass\n")),
)  # fmt: skip

FATE = (
    _bug("unknown-taken-as-sent", "No answer to the dot counts as accepted.", SENDING,
         (FLIGHT, "return (State.DUE, None, now, None) if result.resend else doubt\n", "return State.ACCEPTED, None, now, now\n")),
    _bug("unknown-retried", "No answer to the dot is tried again.", SENDING,
         (FLIGHT, "return (State.DUE, None, now, None) if result.resend else doubt\n", "return State.DUE, None, now, None\n")),
    _bug("dead-address-forgotten", "An address that gets no marketing is not kept as dead when a receipt bounces.", STORE,
         (FLIGHT, """    where=(s.suppression.c.scope == literal_column("'marketing'")) & """, """    where=(s.suppression.c.scope == literal_column("'none'")) & """)),
    _bug("second-copy-hides-the-doubt", "A second copy that the rules drop ends the delivery as unsent.", STORE,
         (CLAIM, "        elif decision.verdict is Verdict.DROP and row.doubted:", "        elif decision.verdict is None:")),
    _bug("dead-owners-handovers-go-again", "After a crash, what was handed over is due again.", STORE,
         (RECOVER, "        if handed_over:\n", "        if handed_over is None:\n")),
    _bug("claims-never-end", "What a dead incarnation had claimed stays claimed for ever.", STORE,
         (RECOVER, "            due.append((lane, now, delivery))\n", "            continue\n"),
         (RECOVER, "    many(conn, _NONE_FLIES, (), [()])\n", "    conn.execute(delete(s.flight).where(s.flight.c.handed_over == 1))\n")),
    _bug("journal-after-the-grant", "The sender is told before the send journal has it.", ("store", "simulation"),
         ("daemon.store.writer", "            self._after_join([answer[1] for answer in answers])\n",
          "            threading.Timer(0.05, self._after_join, ([answer[1] for answer in answers],)).start()\n")),
    _bug("journal-failure-ignored", "A handover that the send journal could not take is granted all the same.",
         ("store", "simulation"),
         ("daemon.store.writer",
          "            error = self._found(failure)\n            return [(call.future, None, error) for call in calls]\n        return answers\n",
          "            return answers\n        return answers\n")),
    _bug("reload-spares-the-claimed", "What is claimed when the rules change goes by the former ones.", STORE,
         (RECOVER, "    conn.execute(_DECIDE_ANEW)\n", "    pass\n")),
    _bug("restore-forgets-the-held", "After a restore, what was held in the copy and sent since is not put in doubt.", ("store", "machine"),
         (RECOVER, 's.delivery.c.state.in_(("planned", "due", "held"))', 's.delivery.c.state.in_(("planned", "due"))')),
)  # fmt: skip

CAPS = (
    _bug("caps-outside-the-lock", "Caps are counted on what was read before the claim's transaction.", STORE,
         (CLAIM, "judge([*rows, *rivals], known_of(conn, [*rows, *rivals], horizon, pushed, needs), ", "judge([*rows, *rivals], _before(conn, rows, horizon), "),
         (CLAIM, "\n\ndef claim_due(\n",
          "\n\n_SEEN: dict[int, Any] = {}\n\n\ndef _before(conn: Connection, rows: Any, horizon: Instant) -> dict[int, Any]:\n"
          "    return {person: _SEEN.setdefault(person, known) for person, known in known_of(conn, rows, horizon).items()}\n"
          "\n\ndef claim_due(\n")),
    _bug("caps-without-claims", "What is claimed and not yet handed over does not count.", STORE,
         (FACTS, '.where(in_list(s.flight.c.person, "persons"), s.flight.c.handed_over == 0, s.flight.c.channel',
          '.where(in_list(s.flight.c.person, "persons"), s.flight.c.handed_over == 2, s.flight.c.channel')),
    _bug("doubt-not-counted", "Who may have got a message has a free slot again.", STORE,
         (FLIGHT, "    if surely_failed and flight.handed_over_at is not None:\n",
          "    if (surely_failed or result.kind is Kind.UNKNOWN) and flight.handed_over_at is not None:\n")),
    _bug("slot-lost", "A message that surely failed keeps its slot.", STORE,
         (FLIGHT, "        writes.untouched.append((flight.person, flight.handed_over_at, flight.delivery))\n", "        pass\n")),
    _bug("waiting-for-a-freed-slot", "Nobody is told that a slot is free again.", STORE,
         (FLIGHT, "        if self.freed:\n", "        if self.freed is None:\n")),
    _bug("transactional-not-counted", "A receipt takes no slot from the newsletter beside it.", RULES,
         ("daemon.policy.decide", "        if decision.verdict is Verdict.SEND and not row.act:\n",
          "        if decision.verdict is Verdict.SEND and not row.act and not row.transactional:\n")),
    _bug("both-take-the-last-slot", "Two messages of one claim are judged as if the other were not there.", RULES,
         ("daemon.policy.decide", "        decision = decide(row, person, rules, now, sent)\n",
          "        decision = decide(row, person, rules, now)\n")),
    _bug("clock-back-reopens-caps", "A touch that lies after a clock that was set back does not count.", RULES,
         ("daemon.policy.caps", "        if at > after\n", "        if after < at <= after + cap.reach\n")),
    _bug("loser-ends-for-want-of-a-slot", "Who loses a contest waits, or ends, as if the winner had surely gone.", RULES,
         ("daemon.policy.decide", "    if reason is Reason.YIELDED_TO_PRIORITY:\n", "    if reason is None:\n")),
    _bug("retry-outside-the-window", "A second try is not judged by the window.", ("machine", "stages", "simulation"),
         ("daemon.dispatch.subject", "campaign.ignore_window or row.channel", "row.attempts > 0 or campaign.ignore_window or row.channel")),
)  # fmt: skip

PLANNING = (
    _bug("cursor-before-the-rows", "The place in a job's body is committed before its recipients.", ("store", "machine", "simulation"),
         (PLAN, "    found = _sort(conn, work, batch, target, now)\n",
          "    _set_progress(conn, work.id, batch.progress)\n" + COMMIT_NOW + "    found = _sort(conn, work, batch, target, now)\n")),
    _bug("release-before-the-rows", "The release cursor is committed before the rows that it stands behind.",
         ("store", "machine", "simulation"),
         ("daemon.store.release", "        return False\n    timed = _move(",
          "        return False\n    conn.execute(update(s.job).where(s.job.c.id == job).values(release_cursor=cursor))\n" + COMMIT_NOW
          + "    timed = _move(")),
    _bug("job-taken-twice", "The same job dropped again is a second job.", ("store", "machine", "simulation"),
         ("daemon.store.jobs", "        return Accepted(receipt=before, fresh=False)\n    _free_key",
          '        new = NewJob(**{**{name: getattr(new, name) for name in new.__slots__}, "key": f"{new.key} again"})\n    _free_key')),
    _bug("person-planned-twice", "Who walks through a campaign already is enrolled again.", ("store", "machine", "simulation"),
         (PLAN, "            return None\n    return last + 1\n", "            continue\n    return last + 1\n")),
)  # fmt: skip

SMS = (
    _bug("sms-again-after-500", "An SMS that Twilio may have sent is sent again.", ("sms",),
         ("channels.sms_twilio.verdicts", '    return Unknown(code=code, detail=words or "Twilio may have acted before it answered so")\n',
          '    return Deferred(scope="provider", code=code)\n')),
    _bug("sms-outlives-the-window", "Twilio may keep an SMS for its ten hours, over the window's close.", ("sms",),
         ("channels.sms_twilio.channel", "validity=int(min(left, MAX_VALIDITY))", "validity=MAX_VALIDITY")),
    _bug("sms-to-anywhere", "The list of countries is not looked at.", ("sms",),
         ("channels.sms_twilio.channel", "        if country is None or country not in self._allowed:\n", "        if country is None:\n")),
    _bug("sms-callback-believed", "A callback of whoever knows the address is believed.", ("sms",),
         ("channels.sms_twilio.callbacks", "        if not valid:\n", '        if not valid and "bodySHA256" in request.url:\n')),
    _bug("sms-doubt-guessed", "Of several messages that may be the doubtful one the newest is taken.", ("sms",),
         ("channels.sms_twilio.lookup", "len(found.get(doubt.id, ())) == 1 and", "found.get(doubt.id) and")),
)  # fmt: skip

PUSH = (
    _bug("push-hosts-unanchored", "A push endpoint is judged by how its host ends, without the dot.", ("push",),
         ("channels.webpush.hosts", "            self._suffixes.append(entry[1:])\n", "            self._suffixes.append(entry[2:])\n")),
    _bug("push-outlives-the-window", "A push is kept by its service for as long as was left when it was rendered.", ("push",),
         ("channels.webpush.channel", "        left = (message.expires_at - now).total_seconds() ", "        left = message.ttl ")),
    _bug("push-doubt-sent-again", "A push without an answer is tried again.", ("push",),
         ("channels.webpush.channel", '            return Answer(subscription.text, "unknown", type(error).__name__,',
          '            return Answer(subscription.text, "later", type(error).__name__,')),
    _bug("push-one-key-for-all", "All messages share one key pair.", ("push",),
         ("channels.webpush.encrypt", "            private = self._generate(self._curve)\n",
          "            private = self._own = getattr(self, '_own', None) or self._generate(self._curve)\n")),
    _bug("push-pause-stops-all", "One push service that throttles stops the whole provider.", ("push",),
         ("channels.webpush.channel", "            pause = house.throttled(self._clock.monotonic(), answer.after)\n",
          "            pause = [each.throttled(self._clock.monotonic(), answer.after) for each in self._houses.values()][0]\n")),
    _bug("push-former-owner", "A browser that now belongs to another still gets what was claimed for the first.", ("push",),
         ("daemon.store.push", "    if before is not None and before != person:\n", "    if before is None:\n")),
    _bug("push-gone-stays", "A dead subscription stays when its outcome is recorded.", ("push",),
         (FLIGHT, "    writes.removed += [(hash,) for hash in result.gone]\n", "")),
)  # fmt: skip

FEEDBACK = (
    _bug("foreign-report-believed", "A provider settles what another one sent.", ("store",),
         ("daemon.store.feedback", "    if not proofs.was_given_to(conn, about, report.provider):\n", "    if False:\n")),
    _bug("second-copy-after-the-report", "The first copy has arrived, and the second one, claimed, is handed over.", ("store",),
         ("daemon.store.proofs", "    if about.flying is not None:  # claimed", "    if False:  # claimed")),
    _bug("start-lifts-all", "START lifts what an operator suppressed.", ("store",),
         ("daemon.store.wishes", """    s.suppression.c.source.like(literal_column(f"'{STOP}%'")),\n""", "")),
    _bug("last-word-by-arrival", "A STOP that came late counts for nothing against an earlier START.", ("store",),
         ("daemon.store.wishes", "    if starts and max(starts) > max(stops):\n", "    if starts:\n")),
    _bug("early-report-lost", "What a provider says before our own outcome is recorded settles nothing.", ("store",),
         ("daemon.store.feedback", "    if early:\n        park(conn, report, now)\n", "")),
    _bug("spend-after-the-send", "What a message costs is not written with its handover.", ("stages",),
         (FLIGHT, "            add_costs(conn, [", "            list([")),
    _bug("doubt-with-todays-words", "A doubt is looked up by what its message would be today.", ("stages",),
         ("daemon.store.reconcile", "exact=updated_at <= at and not row.erased", "exact=True")),
)  # fmt: skip

MEMBERS = "daemon.store.audiences"
AUDIENCES = (
    _bug("audience-old-address-stays", "Whoever comes back with a new address is left at the platform with the old one.", ("audiences",),
         (MEMBERS, "    if state is MemberState.IN and sent != address:\n", "    if state is MemberState.IN and sent is None:\n")),
    _bug("audience-traveller-unseen", "An address that changes while its batch travels is taken for the one that was sent.", ("audiences",),
         (MEMBERS, '        guard=case((_M.state == ADDING, _M.guard), else_=bindparam("b_guard")),  # who',
          '        guard=bindparam("b_guard"),  # who')),
    _bug("audience-back-unsent", "Who left before the batch went and comes back is believed to be there.", ("audiences",),
         (MEMBERS, "        return MemberState.ADD  # whether", "        return MemberState.IN  # whether")),
    _bug("audience-suppression-unseen", "Whoever is put on the suppression list stays in the audiences.", ("audiences",),
         (MEMBERS, "_R.guard != _M.guard, _barred(_R.email_hash),\n", "_R.guard != _M.guard,\n")),
    _bug("audience-cancelled-stays", "Whom a cancelled job put into an audience stays there.", ("audiences",),
         (MEMBERS, "            _barred(_R.phone_hash), _CALLED_OFF,\n", "            _barred(_R.phone_hash),\n")),
    _bug("audience-blocked-for-good", "Nobody gets out of an audience that is blocked.", ("audiences",),
         ("daemon.store.audience_batches", "(_A.blocked.is_(None) | _A.remote_id.is_not(None)) & ", "_A.blocked.is_(None) & ")),
    _bug("audience-added-while-held", "The kill switch does not stop additions.", ("audiences",),
         ("daemon.dispatch.exchange", "        return removals if holds else (*removals, 1)\n", "        return (*removals, 1)\n")),
)  # fmt: skip

FOLLOWING = ("stages",)
CHANNELS = (
    _bug("turn-unnamed", "What a line takes back for a slow destination cannot be told from other rows after a kill.", FOLLOWING,
         ("daemon.dispatch.outcome", "        decision=decision_json(turn),\n", "")),
    _bug("doubt-replaced", "A second copy that fails while the first one is in doubt is replaced on another channel.", FOLLOWING,
         (FLIGHT, "    elif result.then is not None and state is (State.ACCEPTED if result.then.escalates else State.REJECTED):\n",
          "    elif result.then is not None:\n")),
    _bug("content-replaced", "What a provider refuses for its content goes over the telephone instead.", FOLLOWING,
         ("daemon.dispatch.outcome", 'after_failure(envelope, now) if outcome.scope == "address" else None,\n            )',
          "after_failure(envelope, now),\n            )")),
    _bug("restored-replaces-again", "After a restore, what the copy had is replaced again.", FOLLOWING,
         ("daemon.store.follow", " if row[0] >= unfollowed)", " if row[0] >= 0)")),
    _bug("escalated-in-spite-of-a-click", "A click does not call the escalation off.", FOLLOWING,
         ("daemon.dispatch.channels", "if kind in step.escalate.unless]", "if kind not in step.escalate.unless]")),
    _bug("escalated-to-everybody", "An escalation goes to those, too, whom it is not for.", FOLLOWING,
         ("daemon.dispatch.channels", "    elif (row.campaign, row.version, row.step) in known.left_out:\n", "    elif rules is None:\n")),
    _bug("escalated-while-clicking", "A click between claim and handover does not stop the escalation.", FOLLOWING,
         ("daemon.store.feedback", "    if report.human and report.kind in REACTIONS:\n", "    if report.human and report.kind in ():\n")),
)  # fmt: skip

PEOPLE_LAYER, EVENTS = ("people",), "daemon.store.events"
PEOPLE = (
    _bug("event-repeated-counts", "A message that comes again raises the guard and wakes what waits once more.", PEOPLE_LAYER,
         (EVENTS, '            if how[-1] == "kept":\n', '            if how[-1] in ("kept", "known"):\n')),
    _bug("merge-unguarded", "What is claimed of the survivor goes, though judged without the other's contacts.", PEOPLE_LAYER,
         ("daemon.store.merge", """        | {"guard": _R.guard + literal_column("1"), "updated_at": bindparam("b_now")}\n    )\n)\n_FILL_NAMES""",
          """        | {"updated_at": bindparam("b_now")}\n    )\n)\n_FILL_NAMES""")),
    _bug("merge-forgets-contacts", "What the other was sent does not count for the survivor's caps.", PEOPLE_LAYER,
         ("daemon.store.merge_sends", '    many(conn, _TOUCHES, ("b_other", "b_person"), [(other, person)])\n', "")),
    _bug("merge-forgets-wishes", "Who asked for silence under one address is written to under the other.", PEOPLE_LAYER,
         ("daemon.store.merge", "    add_suppressions(conn, sorted(entries, ", "    list((conn, *sorted(entries, "),
         ("daemon.store.merge", "key=lambda entry: (entry.hash, entry.channel, entry.at, entry.reason)))\n",
          "key=lambda entry: (entry.hash, entry.channel, entry.at, entry.reason))))\n")),
    _bug("merged-id-unknown", "What is told later under the id that was merged is nobody's.", PEOPLE_LAYER,
         (EVENTS, "    rows = _of_survivors(conn, [row if row.at <= now else row._replace(at=now) for row in rows])\n",
          "    rows = [row if row.at <= now else row._replace(at=now) for row in rows]\n")),
    _bug("merged-walks-go-on", "Open walks of the one that was merged go on, beside the survivor's.", PEOPLE_LAYER,
         ("daemon.store.merge_sends", "    ended = end_walks_of(conn, other, WalkState.MERGED, Reason.MERGED.value, now)\n", "    ended = 0\n")),
    _bug("end-of-a-stranger", "An end that was read before a merge is settled for the one that is nobody now.", PEOPLE_LAYER,
         ("daemon.store.settling", "(one.walk.state, one.walk.ended_at, one.walk.next_at, one.walk.person)]",
          "(one.walk.state, one.walk.ended_at, one.walk.next_at, stands[one.walk.id][3])]")),
    _bug("purchase-unguarded", "A purchase does not stop what is claimed.", PEOPLE_LAYER,
         (EVENTS, "    raise_guards(conn, moved)\n", "")),
    _bug("last-told-order-counts", "An order that is told twice is what was told last.", PEOPLE_LAYER,
         ("daemon.journey.profile", "            told.setdefault(order_key(row), row)\n", "            told[order_key(row)] = row\n")),
    _bug("events-in-order-of-arrival", "Events count in the order in which they came.", PEOPLE_LAYER,
         ("daemon.journey.profile", "    return sorted(happenings, key=lambda row: (row.at, row.name in _ENDING, row.name, row.id))\n",
          "    return list(happenings)\n")),
    _bug("last-visit-goes-back", "A late event moves the last visit back.", PEOPLE_LAYER,
         ("daemon.store.profiles", "    set_={name: func.max(func.coalesce(_P[name], _put.excluded[name]), func.coalesce(_put.excluded[name], _P[name])) for name in SEEN},\n",
          "    set_={name: func.coalesce(_put.excluded[name], _P[name]) for name in SEEN},\n")),
    _bug("erased-comes-back", "An event of an erased recipient is kept.", PEOPLE_LAYER,
         (EVENTS, '            strange[row.person, row.key] = "erased"\n', "            pass\n")),
    _bug("erased-unguarded", "What is claimed for a recipient is sent after it was erased.", PEOPLE_LAYER,
         ("daemon.store.erase", '"guard": s.recipient.c.guard + 1, ', "")),
    _bug("erased-address-free", "The address of an erased recipient is not suppressed.", PEOPLE_LAYER,
         ("daemon.store.erase", "    add_suppressions(conn, [", "    list([")),
)  # fmt: skip

SEGMENTS_LAYER, MEMBERS, MEANING = ("segments",), "daemon.store.segments", "daemon.store.segment_sql"
SEGMENTS = (
    _bug("excluded-all-the-same", "Who is to be excluded from a segment is in it.", SEGMENTS_LAYER,
         ("daemon.model.segment", "        if not self.exclude:\n", "        if True:\n")),
    _bug("everybody-enters-at-first", "A new segment tells of all whom it finds that they have just entered.", SEGMENTS_LAYER,
         (MEMBERS, "if known[name].evaluated_at is None)\n", "if False)\n")),
    _bug("cursor-before-its-page", "The evaluation's cursor moves before what it stands for is written.", SEGMENTS_LAYER,
         ("daemon.audience.segmenting", "            done = upto if move is moves[-1] else None\n", "            done = upto\n")),
    _bug("moves-without-a-word", "Who enters or leaves has no event of it.", SEGMENTS_LAYER,
         (MEMBERS, "    if events:\n        take_events(", "    if not events:\n        take_events(")),
    _bug("erased-is-a-member", "An erased recipient matches whoever never did anything.", SEGMENTS_LAYER,
         (MEANING, "_R.erased == _ZERO, condition(", "condition(")),
    _bug("old-scores-count", "Engagement that has aged out still counts.", SEGMENTS_LAYER,
         (MEANING, "        rescore(conn, [person for (person,) in aged], now)\n", "        pass\n")),
    _bug("period-forgotten", "did(..) counts what happened before the period.", SEGMENTS_LAYER,
         (MEANING, "*([_E.at > _NOW - period] if period is not None else [])", "")),
)  # fmt: skip

PLAYBOOK = ("playbook",)
OFFERS_LAYER, OFFER, ISSUES, ARMS, TRIAL = ("offers",), "daemon.journey.offer", "daemon.store.issues", "daemon.journey.arms", "daemon.journey.trial"
OFFERS = (
    _bug("code-given-twice", "A code that was set aside is the next one for somebody else.", OFFERS_LAYER,
         ("daemon.store.codes", '    many(conn, _TAKE, ("b_id", "b_issue"), [(row[0], issue) for row, issue in zip(rows, issues, strict=True)])\n', "")),
    _bug("two-codes-of-one-step", "Two deliveries of one step take a code each.", OFFERS_LAYER,
         (ISSUES, "        number = shared.get((want.walk, want.step)) if want.again is None else want.again\n",
          "        number = want.again\n")),
    _bug("code-kept-by-nobody", "What surely reached nobody keeps its code.", OFFERS_LAYER,
         (ISSUES, "    put_back(conn, list(found.lost))\n", "")),
    _bug("doubt-gives-the-code-back", "A message in doubt does not open its offer: its code goes to somebody else.", OFFERS_LAYER,
         (FLIGHT, "    if flight.issue is not None and state in (State.ACCEPTED, State.IN_DOUBT):\n",
          "    if flight.issue is not None and state is State.ACCEPTED:\n")),
    _bug("end-from-the-claim", "An offer's end counts from the decision and not from the acceptance.", OFFERS_LAYER,
         (ISSUES, "        ends = printed if valid is None else max(round_up(at, valid, zone), printed or 0)\n", "        ends = printed\n")),
    _bug("offers-stack", "An open offer of another campaign is no bar.", OFFERS_LAYER,
         (OFFER, "    if foreign:\n", "    if foreign is None:\n")),
    _bug("two-new-offers-at-once", "Two campaigns that are due together give an offer each.", OFFERS_LAYER,
         ("daemon.dispatch.offering", "        return one_new(verdicts, self._offered, now) if len(self._offered) > 1 and len(verdicts) > 1 else verdicts\n",
          "        return verdicts\n")),
    _bug("worse-offer-beside-a-better", "A worse offer is given while a better one is open.", OFFERS_LAYER,
         (OFFER, "    if best is None or best.rank < target.rank:\n", "    if best is None or best.rank != target.rank:\n")),
    _bug("best-offer-first", "The step's own offer is given, whether the ones before it were accepted or not.", OFFERS_LAYER,
         (OFFER, "    return next((offer for offer in mine if offer.rank > reached), mine[-1])\n", "    return mine[-1]\n")),
    _bug("empty-pool-not-seen", "A message goes for a code that is not there.", OFFERS_LAYER,
         ("daemon.policy.decide", "    if offer.left is not None and offer.left <= 0:\n", "    if offer.left is not None and offer.left < 0:\n")),
    _bug("dead-offer-sent", "An offer goes out in its last hours.", OFFERS_LAYER,
         ("daemon.policy.decide", "        last = offer.ends_at - offer.min_left\n", "        last = offer.ends_at\n")),
    _bug("cancelled-order-redeems", "An order that was cancelled has used the code up.", OFFERS_LAYER,
         ("daemon.store.redemptions", """in_list(_R.code, "codes"), _R.cancelled == literal_column("0"))""", 'in_list(_R.code, "codes"))')),
    _bug("friends-code-is-an-offer", "A code to pass on keeps its owner's other offers waiting.", PLAYBOOK,
         (OFFER, "    had = [issue for issue in had if not issue.apart]\n", "")),
    _bug("friends-code-without-end", "A code that is passed on brings rewards after its end.", PLAYBOOK,
         ("daemon.store.referrals", " and owner.since <= use.at and (owner.ends is None or use.at < owner.ends):\n", " and owner.since <= use.at:\n")),
    _bug("ads-outlive-the-offer", "An audience keeps those whose offer is over.", PLAYBOOK,
         ("daemon.store.walks", "for person, offer, ends in rows if ends is None or ends > now}", "for person, offer, ends in rows}"),
         ("daemon.store.walks", "                until = min((at for at in (until, over) if at is not None), default=None)\n", "                until = until if over else None\n")),
    _bug("countdown-promises-more", "The image shows a minute that there is not.", PLAYBOOK,
         ("daemon.web.countdown", "max(0, ends_at - now) // MINUTE", "-(-max(0, ends_at - now) // MINUTE)")),
    _bug("arm-drawn-anew", "Each look at a person draws its arm again.", OFFERS_LAYER,
         (ARMS, "hashlib.blake2b(person.to_bytes(8), digest_size=8, key=_key(salt)).digest()", "__import__('os').urandom(8)")),
    _bug("arms-of-one-hash", "All experiments draw by the same hash.", OFFERS_LAYER,
         (ARMS, 'return draw(f"arm:{campaign}:{step}", person,', 'return draw("arm", person,'),
         (ARMS, "digest_size=8, key=_key(salt))", 'digest_size=8, key=_key("arm"))')),
    _bug("peeking", "The test of an experiment is one that may be looked at once.", OFFERS_LAYER,
         (TRIAL, "    evidence = (estimate**2 / variance * shrink - math.log1p(ratio)) / 2 if variance else 0.0\n",
          "    evidence = 9.0 if estimate**2 > 3.8416 * variance else 0.0\n"),
         (TRIAL, "math.sqrt(variance * (2 * math.log(1 / alpha) + math.log1p(ratio)) / shrink)", "1.96 * math.sqrt(variance)")),
    _bug("ratio-not-watched", "Arms of other shares than declared have a winner.", OFFERS_LAYER,
         (TRIAL, "    if ratio >= math.log(1 / RATIO):\n", "    if ratio >= math.inf:\n")),
    _bug("decided-for-all-experiments", "The winner of an older experiment on the step is given to whoever begins.", OFFERS_LAYER,
         (ARMS, "        won = decided.get((step.name, digest_of(step.experiment)))\n",
          "        won = next((arm for (name, _), arm in decided.items() if name == step.name), None)\n")),
)  # fmt: skip

WALK_LAYER, WALKING, EXITS = ("walks",), "daemon.store.walking", "daemon.store.exits"
WALKS = (
    _bug("undone-trigger-begins", "What undid a trigger before it was looked at does not count.", WALK_LAYER,
         ("daemon.store.triggers", "        if word is None and undone.get(one.person, one.at) > one.at:\n", "        if word is None and one.person < 0:\n")),
    _bug("bought-since-the-evaluation", "Who bought after his segment was evaluated enters its campaign all the same.", WALK_LAYER,
         ("daemon.store.segment_entry", "undone_at(conn, entry.campaign, free, place.at)", "()")),
    _bug("exit-unguarded", "An event that ends a walk does not stop what is claimed of it.", WALK_LAYER,
         (EVENTS, " | concerned.ended)\n", ")\n")),
    _bug("ended-walk-claimed", "What waits of a walk that has ended is sent.", WALK_LAYER,
         ("daemon.dispatch.subject", 'if (reason := REASONS_OF_ENDS.get(row.walk_state or "")) is not None:', "if (reason := REASONS_OF_ENDS.get(row.step)) is not None:")),
    _bug("exit-overwritten", "A move that was decided before an exit undoes it.", WALK_LAYER,
         (WALKING, "    moves = [move for move in moves if stands.get(move.walk.id) == (move.walk.state, move.walk.next_at)]\n",
          "    moves = [move for move in moves if move.walk.id in stands]\n")),
    _bug("last-told-end-counts", "A walk ends as the event says that was told first.", WALK_LAYER,
         (EXITS, "        if best is None or ending < best:\n", "        if best is None:\n")),
    _bug("old-order-ends-a-walk", "An order of before the walk's anchor ends it.", WALK_LAYER,
         (EXITS, "        if row.at <= walk.since_at:\n            continue\n", "")),
    _bug("order-before-the-entry-converts", "An order of before the entry that is told late counts as brought home.", WALK_LAYER,
         (EXITS, " and row.at >= walk.entered_at\n", "\n")),
    _bug("held-out-sent", "Who is held out gets the message.", WALK_LAYER,
         ("daemon.dispatch.judge", "            if candidate.held_out and decision.verdict is Verdict.SEND:\n", "            if candidate.held_out and decision.verdict is None:\n")),
    _bug("ghost-uncounted", "What a held-out person would have been sent does not count for his caps.", WALK_LAYER,
         (CLAIM, "    many(conn, _GHOST, _GHOST_NAMES, _ghosts(judged, now))\n", "")),
    _bug("trigger-gone-before-the-walk", "A trigger is forgotten before its walk is there.", WALK_LAYER,
         ("daemon.store.triggers", "    for word in enrol(conn, entry, list(fresh.values()), now).how:\n",
          '    many(conn, _GONE, ("ids",), [(ids(one.id for one in fired),)])\n' + COMMIT_NOW + "    for word in enrol(conn, entry, list(fresh.values()), now).how:\n")),
    _bug("trigger-taken-again", "A trigger that was taken is taken again.", WALK_LAYER,
         ("daemon.store.triggers", '    many(conn, _GONE, ("ids",), [(ids(one.id for one in fired),)])\n    return', "    return")),
    _bug("gap-from-the-day", "The gap between steps does not count from the acceptance.", WALK_LAYER,
         ("daemon.journey.sequence", "        due = max(due, facts.last.accepted_at + campaign.enrol.min_gap)\n", "        due = max(due, facts.last.accepted_at)\n"),
         ("daemon.journey.sequence", "        due = max(due, walk.touched_at + campaign.enrol.min_gap)\n", "        due = max(due, walk.touched_at)\n")),
    _bug("paused-walks-on", "Walks of a paused campaign move on.", WALK_LAYER,
         (WALKING, '            (s.campaign.c.status != "active", 0), ', "            ")),
    _bug("held-job-walks", "The walks of a job that is held begin to go.", WALK_LAYER,
         ("daemon.store.plan", "job=work.id, state=WalkState.PLANNED)", "job=work.id)")),
    _bug("cancelled-job-walks-on", "What a cancelled job began goes on.", WALK_LAYER,
         ("daemon.store.jobs", "    if row.enrols and state is not JobState.CANCELLED:\n", "    if row.enrols and state is None:\n")),
)  # fmt: skip

KEEP = "daemon.store.retention"
KEEPING = (
    _bug("doubt-forgotten", "The evidence of a doubt goes by its age.", ("keeping",),
         (KEEP, "_ENDED = and_(_D.ended_at.is_not(None), _D.ended_at < _BEFORE)\n", '_ENDED = and_(_D.id > literal_column("0"), func.coalesce(_D.ended_at, 0) < _BEFORE)\n'),
         (KEEP, "    case,\n    delete,\n", "    case,\n    delete,\n    func,\n")),
    _bug("orders-forgotten", "What a profile is made of goes by its age.", ("keeping",),
         (KEEP, "_E.received_at < _BEFORE, _E.name.not_in(_COUNTED))", "_E.received_at < _BEFORE)")),
    _bug("clock-ahead-forgets", "A clock that is ahead makes the store forget.", ("keeping",),
         (KEEP, "    before = min(now, last_commit(conn)[1]) - kept\n", "    before = now - kept\n")),
)  # fmt: skip

TELLING = "daemon.app.noticing"
NOTICES = (
    _bug("notice-refused-is-told", "What a target did not take counts as told.", ("notices",),
         (TELLING, "            if fault is None:\n", "            if fault is None or status >= 500:\n")),
    _bug("notice-number-comes-again", "The newest notice is removed too, and its number is given to another fact.", ("notices",),
         ("daemon.store.notices", "    end = min(top - 1, top if least is None else int(least))\n", "    end = top if least is None else int(least)\n")),
    _bug("notice-of-a-merge", "Who was merged into another is told as erased.", ("notices", "people"),
         ("daemon.store.notices", '"NEW.erased = 1 AND OLD.erased = 0"', '"NEW.erased <> 0 AND OLD.erased = 0"')),
    _bug("notice-in-nobodys-time", "A target that is gone is asked again and again.", ("notices",),
         (TELLING, "            if self.gone:\n", "            if self.gone and status == 0:\n"),
         (TELLING, "        for notice in page:\n            self.oldest", "        status = 1\n        for notice in page:\n            self.oldest")),
)  # fmt: skip

BUGS = {bug.name: bug for bug in (*HANDOVER, *FATE, *CAPS, *PLANNING, *SMS, *PUSH, *FEEDBACK, *AUDIENCES, *CHANNELS, *PEOPLE, *SEGMENTS, *OFFERS, *WALKS, *KEEPING, *NOTICES)}
