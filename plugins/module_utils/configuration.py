# Copyright: Contributors to the Deskplane project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tasks about a whole desk: what is declared in files or in the task, and what the desk has."""

from __future__ import annotations

from ansible_collections.deskplane.helpdesk.plugins.module_utils import desk_files, whole_desk
from ansible_collections.deskplane.helpdesk.plugins.module_utils.arguments import BadArguments
from ansible_collections.deskplane.helpdesk.plugins.module_utils.desk import DeskFailure
from ansible_collections.deskplane.helpdesk.plugins.module_utils.resource import Declaration, diff_of

SHOWN = ("digest", "summary", "changes", "needs_secret", "not_declared", "unresolved", "manager", "revision")


class Configuration(Declaration):
    """The whole desk, made to be what files or the task declare."""

    def __init__(self, options):
        super().__init__(
            whole_desk.SUBJECT,
            whole_desk.SUBJECT,
            options,
            constraints={"mutually_exclusive": [["src", "configuration"]], "required_one_of": [["src", "configuration"]]},
            patience=whole_desk.PATIENCE_S,
        )

    def gathered(self, given, files=None):
        """The task's options with what it declares read; and the secrets that stand there.

        What cannot be read takes the declaration's place, because the desk may find more mistakes in the rest.
        """
        sources, overlays = _list(given.pop("src", None)), _list(given.pop("overlays", None)) or []
        locate, read_text = (files.find, files.read_text) if files else (None, None)
        try:
            if sources is None:
                if overlays:
                    raise BadArguments("overlays are laid over src, and the task has none")
                declared = desk_files.declared_inline(given.get("configuration"))
            else:
                layers = [sources] + [_list(overlay) for overlay in overlays]
                declared = desk_files.declared_in(layers, locate, read_text)
        except desk_files.BadFiles as error:
            given["configuration"] = error
            return given, desk_files.plain_secrets(error.readable.configuration)
        except RuntimeError as error:
            raise BadArguments(str(error)) from error
        given["configuration"] = declared
        return given, desk_files.plain_secrets(declared.configuration)

    def marked(self, wanted, marks):
        return dict(marks, **wanted)

    def act(self, desk, wanted, check_mode):
        declared, secrets = wanted.pop("configuration"), wanted.pop("secrets", None) or {}
        digest = wanted.pop("plan_digest", None)
        wrong = sorted(name for name, value in secrets.items() if not isinstance(value, str))
        if wrong:
            raise BadArguments("secrets: %s must be text; put it in quotes" % ", ".join(wrong))
        if isinstance(declared, desk_files.BadFiles):
            raise whole_desk.refused_files(desk, declared, wanted, secrets) from declared
        if check_mode:
            answer = whole_desk.plan(desk, declared, wanted, secrets, allow_unresolved=True)
            if digest is not None and digest != answer.get("digest"):
                raise DeskFailure("%s: the plan changed: its digest is %s now, not %s" % (self.kind, answer.get("digest"), digest))
        else:
            answer = whole_desk.apply(desk, declared, wanted, secrets, digest)
        result = {name: answer[name] for name in SHOWN if name in answer}
        result["changed"] = bool(answer.get("changed"))
        result["diff"] = [
            diff_of(change.get("label"), change.get("action"), change.get("changes") or [])
            for change in answer.get("changes") or ()
            if change.get("action") != "none"
        ]
        warnings = _warnings(answer, declared, check_mode)
        if warnings:
            result["warnings"] = warnings
        return result

    def portable(self, given, files):
        if given.get("src") is None:
            return given, None
        given, _secrets = self.gathered(dict(given), files)
        declared = given["configuration"]
        if isinstance(declared, desk_files.BadFiles):
            raise whole_desk.Refused(desk_files.found_mistakes(declared)) from declared
        return dict(given, configuration=declared.configuration), declared

    def placed(self, result, gathered):
        """The result of a task that ran elsewhere, where the files are not, with each mistake at its place."""
        problem = result.get("problem") or {}
        mistakes = gathered.mistakes(problem) if gathered and result.get("failed") else []
        if mistakes:
            result = dict(result, msg=str(whole_desk.Refused(mistakes, problem)), errors=mistakes)
        return result


def _label(need):
    return "%s %s" % (need.get("kind"), "/".join(str(part) for part in (need.get("key") or {}).values()))


def _list(value):
    return [value] if isinstance(value, str) else value


def _warnings(answer, declared, check_mode):
    found = [str(text) for text in answer.get("warnings") or ()]
    for missing in answer.get("unresolved") or ():
        pointer = str(missing.get("pointer"))
        place = declared.place(pointer)
        found.append(
            "%s%s names the %s '%s', which does not exist yet; an earlier task of this play may make it, "
            "without it the real run fails here"
            % ("%s: " % place if place and place.line else "", declared.name(pointer), missing.get("kind"), missing.get("name"))
        )
    for need in answer.get("needs_secret") or ():
        found.append(
            "%s: the desk has no %s yet, and the task gives none: add '%s' to secrets"
            % (_label(need), need.get("field"), declared.reference(need))
        )
    return found


class ConfigurationInfo(Declaration):
    """What the desk has, as a document, also in files; or what differs from what was last declared."""

    def __init__(self, options):
        super().__init__(
            whole_desk.SUBJECT,
            whole_desk.SUBJECT,
            options,
            patience=whole_desk.PATIENCE_S,
        )

    def marked(self, wanted, marks):
        return wanted if wanted.get("manager") is not None else dict(wanted, manager=marks.get("manager"))

    def act(self, desk, wanted, check_mode):
        if wanted.get("drift"):
            if wanted.get("dest") or wanted.get("full"):
                raise BadArguments("drift is a list of differences: dest and full do not go with it")
            answer = whole_desk.drift(desk, wanted.get("manager"))
            return {"changed": False, "drifted": bool(answer.get("drifted")), "drift": answer.get("items") or []}
        found = whole_desk.export(desk, wanted.get("manager"), bool(wanted.get("full")))
        result = {"changed": False, "configuration": found}
        if wanted.get("dest"):
            try:
                files = whole_desk.files_for(found, wanted["dest"])
                before = {path: whole_desk.content(path) or "" for path in files}
                differing = whole_desk.write_files(files, only_look=check_mode)
            except OSError as error:
                raise BadArguments("dest: %s: %s" % (error.filename or wanted["dest"], error.strerror or error)) from error
            result.update(changed=bool(differing), files=sorted(files))
            result["diff"] = [
                {"before_header": path, "after_header": path, "before": before[path], "after": files[path]} for path in differing
            ]
        return result
