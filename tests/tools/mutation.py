"""
What would no test notice? `make mutation` changes the ledger's code in every small way and runs its tests.

The changes are cosmic-ray's, and two of our own: a statement that goes, a keyword argument that goes.
Starting Oscar takes longer than the tests, so that cosmic-ray's own runner (one start for each change)
would take a day: here pytest starts once, on SQLite in memory, and forks for each change. The fork has
database and collected tests already, applies the change to the running code, and runs those tests that
reach it, until one fails.

    python -m tests.tools.mutation [MODULE …]      (rules, book, earning …; all by default)

Survivors are printed as diffs and kept in build/mutation/. WORKERS forks at once (2), SHARE=n takes
every n-th change, AGAIN=1 only what survived last time, TESTS are other tests than all of tests/points
(of two files at least).
"""

from __future__ import annotations

import ast
import contextlib
import difflib
import gc
import os
import resource
import signal
import sys
import time
import types
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import parso
import pytest
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Operator
from cosmic_ray.plugins import get_operator

ROOT = Path(__file__).resolve().parents[2]
REPORTS = ROOT / "build" / "mutation"
TESTS = ["tests/points"]
#: Another engine's, or not about what the code does.
LEFT_OUT = ("test_append_only", "test_statements", "test_fast")
POINTS = "oscar_loyalty.points"
MODULES = {
    "rules": f"{POINTS}.rules",
    "chart": f"{POINTS}.chart",
    "book": f"{POINTS}.book",
    **{
        path.stem: f"{POINTS}.services.{path.stem}"
        for path in sorted((ROOT / "oscar_loyalty/points/services").glob("[a-z]*.py"))
    },
}


def _replaced(kind: str, pairs: str) -> list[str]:
    return [f"core/Replace{kind}_{pair}" for pair in pairs.split()]


OPERATORS = [
    *("core/AddNot", "core/ReplaceTrueWithFalse", "core/ReplaceFalseWithTrue", "core/ReplaceAndWithOr"),
    *("core/ReplaceOrWithAnd", "core/ReplaceBreakWithContinue", "core/ReplaceContinueWithBreak"),
    *("core/ExceptionReplacer", "core/NumberReplacer", "core/RemoveDecorator", "core/ZeroIterationForLoop"),
    *_replaced("UnaryOperator", "Delete_USub Delete_Not"),
    *_replaced("BinaryOperator", "Add_Sub Sub_Add Mul_FloorDiv Div_Mul FloorDiv_Mul Mod_Mul BitOr_BitAnd"),
    *_replaced(
        "ComparisonOperator", "Eq_NotEq NotEq_Eq Lt_LtE Lt_Gt LtE_Lt LtE_Gt Gt_GtE Gt_Lt GtE_Gt GtE_Lt"
    ),
    *_replaced("ComparisonOperator", "Is_IsNot IsNot_Is Eq_Lt Eq_Gt"),
]


class StatementRemover(Operator):
    """A statement on a line of its own does nothing."""

    def mutation_positions(self, node: Any) -> Iterator[Any]:
        if node.type == "simple_stmt" and node.children[0].type not in {
            *("string", "strings", "import_name", "import_from", "pass_stmt")
        }:
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        prefix = node.get_first_leaf().prefix
        return parso.parse(f"{prefix}pass\n").children[0]

    @classmethod
    def examples(cls) -> tuple[Any, ...]:
        return ()


class KeywordRemover(Operator):
    """A keyword argument is not passed."""

    def mutation_positions(self, node: Any) -> Iterator[Any]:
        if node.type == "argument" and node.parent.type == "arglist" and node.children[1] == "=":
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        """Twice the argument before would be an error; an empty unpacking is nothing at all."""
        prefix = node.get_first_leaf().prefix
        [call] = parso.parse("f(1, **{})\n").children[0].children[0].children[1:]
        empty = call.children[1].children[2]
        empty.get_first_leaf().prefix = prefix
        return empty

    @classmethod
    def examples(cls) -> tuple[Any, ...]:
        return ()


@dataclass
class Mutant:
    module: str
    operator: str
    occurrence: int
    code: str

    def diff(self, original: str) -> str:
        lines = difflib.unified_diff(original.splitlines(), self.code.splitlines(), lineterm="", n=1)
        return "\n".join(list(lines)[2:])


def mutants_of(module: str, source: str) -> Iterator[Mutant]:
    """Every change of one module that still compiles, each meaning once."""
    seen = {_meaning(source)}
    operators = {name.removeprefix("core/"): get_operator(name)() for name in OPERATORS}
    operators |= {"RemoveStatement": StatementRemover(), "RemoveKeyword": KeywordRemover()}
    for name, operator in operators.items():
        # Positions must be counted as cosmic-ray's visitor does: all of a fresh tree.
        places = sum(len(list(operator.mutation_positions(node))) for node in ast_nodes(get_ast(source)))
        for occurrence in range(places):
            code = mutate_code(source, operator, occurrence)
            if code is None:
                continue
            with contextlib.suppress(SyntaxError):
                meaning = _meaning(code)
                if meaning not in seen:
                    compile(code, module, "exec")
                    seen.add(meaning)
                    yield Mutant(module, name, occurrence, code)


def _meaning(code: str) -> str:
    """What the code does for one session on SQLite. Left out are annotations, and how a class is decorated:
    whether a record can be changed, or be made without names, is nothing that the program relies on."""
    tree = ast.parse(code)
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            node.decorator_list = []
        elif isinstance(node, ast.FunctionDef):
            node.returns = None
            node.decorator_list = [one for one in node.decorator_list if not _is_of_others(one)]
        elif isinstance(node, ast.arg):
            node.annotation = None
    return ast.dump(tree)


def _is_of_others(decorator: ast.expr) -> bool:
    """Retries are for several sessions, the fast path is PostgreSQL's."""
    return any(name in ast.unparse(decorator) for name in ("atomic_with_retries", "with_fast_path"))


# Changing the running code


def _functions(code: types.CodeType) -> dict[str, types.CodeType]:
    """The code of each function and method of a module, without those inside functions."""
    found: dict[str, types.CodeType] = {}
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            if constant.co_flags & 0x02:  # CO_NEWLOCALS: a function's, not a class's
                found[constant.co_qualname] = constant
            else:
                found |= _functions(constant)
    return found


def _says(code: types.CodeType, *, deep: bool = True) -> tuple[Any, ...]:
    """What a code object does, whatever lines it stands on."""
    constants = tuple(
        (_says(constant) if deep or not constant.co_flags & 0x02 else constant.co_qualname)
        if isinstance(constant, types.CodeType)
        else (type(constant), constant)
        for constant in code.co_consts
    )
    return code.co_code, constants, code.co_names, code.co_varnames


def changed_functions(module: str, before: str, after: str) -> dict[str, types.CodeType] | None:
    """The functions that a change is in; ``None``: it is outside of all functions."""
    path = str(sys.modules[module].__file__)
    old, new = compile(before, path, "exec"), compile(after, path, "exec")
    if _shell(old) != _shell(new):
        return None
    was = _functions(old)
    return {name: code for name, code in _functions(new).items() if _says(was[name]) != _says(code)}


def _shell(code: types.CodeType) -> tuple[Any, ...]:
    constants = tuple(
        (constant.co_qualname if constant.co_flags & 0x02 else _shell(constant))
        if isinstance(constant, types.CodeType)
        else (type(constant), constant)
        for constant in code.co_consts
    )
    return code.co_code, constants, code.co_names


def running_functions(modules: list[str]) -> list[types.FunctionType]:
    """What runs of some modules, wherever a decorator keeps it."""
    files = {sys.modules[name].__file__ for name in modules}
    return [
        thing
        for thing in gc.get_objects()
        if isinstance(thing, types.FunctionType) and thing.__code__.co_filename in files
    ]


def apply(mutant: Mutant, before: str, running: list[types.FunctionType]) -> None:
    """Put the change into the modules that run already."""
    functions = changed_functions(mutant.module, before, mutant.code)
    module = sys.modules[mutant.module]
    if functions is None:
        _reload(module, mutant.code)
        return
    for function in running:
        new = functions.get(function.__code__.co_qualname)
        if new is not None and function.__code__.co_filename == module.__file__:
            function.__code__ = new


def _reload(module: types.ModuleType, code: str) -> None:
    """Run the whole module anew, and let everybody who imported from it import again."""
    old = {name: value for name, value in vars(module).items() if not name.startswith("__")}
    exec(compile(code, str(module.__file__), "exec"), vars(module))  # noqa: S102
    fresh = {id(value): vars(module)[name] for name, value in old.items() if callable(value)}
    for other in list(sys.modules.values()):
        if other is not module and getattr(other, "__name__", "").startswith(("oscar_loyalty", "tests")):
            for name, value in list(vars(other).items()):
                if id(value) in fresh and getattr(value, "__module__", "") == module.__name__:
                    setattr(other, name, fresh[id(value)])


# Running


class Mutation:
    """A pytest plugin that runs the tests once as they are, and then once for each change."""

    def __init__(self, names: list[str]) -> None:
        self.modules = [MODULES[name] for name in names]
        self.reached: dict[str, list[pytest.Item]] = {}
        self.items: list[pytest.Item] = []
        #: By the id of the item: how long each test takes, and how many changes it has noticed.
        self.took: dict[int, float] = {}
        self.noticed: Counter[int] = Counter()
        self.told, self.tell = os.pipe()

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [item for item in items if not any(name in item.nodeid for name in LEFT_OUT)]

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        began = time.process_time()
        files = {str(sys.modules[name].__file__): name for name in self.modules}
        for item in session.items:
            seen: set[str] = set()
            start = time.process_time()

            def note(frame: Any, event: str, _argument: Any, seen: set[str] = seen) -> None:
                if event == "call" and frame.f_code.co_filename in files:
                    seen.add(f"{files[frame.f_code.co_filename]}:{frame.f_code.co_qualname}")

            sys.setprofile(note)
            self._run(session, item)
            sys.setprofile(None)
            self.took[id(item)] = time.process_time() - start
            for name in seen:
                self.reached.setdefault(name, []).append(item)
        if session.testsfailed:
            raise session.Failed("the tests fail without any change")
        self.items = list(session.items)
        self.functions = running_functions(self.modules)
        gc.freeze()  # what a fork does not touch need not be copied for it
        self.limit = 5 + round(2 * (time.process_time() - began))
        print(
            f"\n{len(session.items)} tests in {time.process_time() - began:.0f} s as the code is", flush=True
        )
        REPORTS.mkdir(parents=True, exist_ok=True)
        for module in self.modules:
            self._try_all(session, module)
        return True

    @staticmethod
    def _run(session: pytest.Session, item: pytest.Item) -> None:
        # There is always a next test, of another module, so that pytest keeps nothing but the database.
        first, last = session.items[0], session.items[-1]
        following = last if item.parent is first.parent else first
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)

    def _try_all(self, session: pytest.Session, module: str) -> None:
        source = Path(str(sys.modules[module].__file__)).read_text()
        mutants = islice(mutants_of(module, source), 0, None, int(os.environ.get("SHARE") or 1))
        if os.environ.get("AGAIN"):
            last = _report_of(module).read_text()
            # Without the numbers of lines: those may have moved.
            mutants = (one for one in mutants if one.diff(source).partition("\n")[2] in last)
        workers, running = int(os.environ.get("WORKERS") or 2), {}
        outcomes: dict[str, list[Mutant]] = {"killed": [], "survived": [], "endless": []}
        began = time.monotonic()
        waiting = next(mutants, None)
        while waiting or running:
            if waiting and len(running) < workers:
                sys.stdout.flush()
                child = os.fork()
                if child == 0:
                    self._child(session, waiting, source)
                running[child] = waiting
                waiting = next(mutants, None)
                continue
            child, status = os.wait()
            code = os.waitstatus_to_exitcode(status)
            outcome = {0: "survived", -signal.SIGXCPU: "endless"}.get(code, "killed")
            outcomes[outcome].append(running.pop(child))
            if code == 1:
                self.noticed[int.from_bytes(os.read(self.told, 8))] += 1
        self._report(module, source, outcomes, time.monotonic() - began)

    def _child(self, session: pytest.Session, mutant: Mutant, source: str) -> None:
        """Never returns."""
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        resource.setrlimit(resource.RLIMIT_CPU, (self.limit, self.limit))
        code = 2
        with contextlib.suppress(BaseException):
            functions = changed_functions(mutant.module, source, mutant.code)
            apply(mutant, source, self.functions)
            for item in self._tests_for(mutant.module, functions):
                self._run(session, item)
                if session.testsfailed:
                    os.write(self.tell, id(item).to_bytes(8))
                    code = 1
                    break
            else:
                code = 0
        os._exit(code)

    def _tests_for(self, module: str, functions: dict[str, types.CodeType] | None) -> Iterable[pytest.Item]:
        """What is quick and has noticed much comes first, the property tests come last."""
        items = self.items
        if functions is not None:
            names = [f"{module}:{name}" for name in functions]
            reaching = {item.nodeid for name in names for item in self.reached.get(name, [])}
            items = [item for item in items if item.nodeid in reaching]
        return sorted(items, key=lambda item: self.took[id(item)] / (1 + self.noticed[id(item)]))

    def _report(self, module: str, source: str, outcomes: dict[str, list[Mutant]], seconds: float) -> None:
        counts = {name: len(mutants) for name, mutants in outcomes.items()}
        total = sum(counts.values())
        line = f"{module}: {total} changes, " + ", ".join(f"{n} {name}" for name, n in counts.items())
        line += f", in {seconds:.0f} s"
        text = [line, *(f"{m.operator}\n{m.diff(source)}\n" for m in outcomes["survived"])]
        _report_of(module).write_text("\n".join(text))
        print("\n".join(text), flush=True)


def _report_of(module: str) -> Path:
    return REPORTS / f"{module.rpartition('.')[2]}.txt"


def main(names: list[str]) -> int:
    unknown = set(names) - set(MODULES)
    if unknown:
        print(f"There is no {', '.join(sorted(unknown))}; there are {', '.join(MODULES)}.")
        return 2
    os.environ.setdefault("HYPOTHESIS_PROFILE", "mutation")
    os.environ.pop("DATABASE_URL", None)
    plain = ["-q", "-p", "no:randomly", "-p", "no:xdist", "--timeout=0", "-s"]
    tests = os.environ.get("TESTS", "").split() or TESTS
    return int(pytest.main([*tests, *plain], plugins=[Mutation(names or list(MODULES))]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
