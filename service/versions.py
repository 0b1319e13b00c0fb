"""Versions come and go while others run: loaded aside, served, retired once nobody uses them, freed.

Lives on the event loop; bundles are opened on another thread, one at a time. A version that cannot be loaded changes
nothing but what is told of it. Knows nothing about gRPC.
"""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections.abc import Coroutine
from contextlib import suppress
from typing import TypeVar

from bundle.device import DeviceError
from bundle.folder import BundleError
from bundle.memory import give_back
from service.drafters import OFF, check_default, with_drafts
from service.folder import Found, Look, name_and_number, newest_first
from service.loading import Loader
from service.models import Models, ServedModel, UnknownModelError
from service.version import BadVersionError, Failure, LastModelError, State, UnloadingError, Version

# How long a version that is of no use to anybody may take to be freed before it is told as gone.
_FREED_SECONDS = 5.0

_log = logging.getLogger("service.versions")
_Result = TypeVar("_Result")


class Versions:
    """Changes `models`, which it is given, by what lies in the folder of `loader`.

    loads, failures, unloads: versions that were loaded until now, could not be, and have gone.
    """

    def __init__(self, models: Models, loader: Loader, drafts: str = OFF, keep: int = 0) -> None:
        """Offer drafts to `models`.

        drafts: who proposes by default (service/drafters.py).
        keep: versions of each model that are served when a newer one is found; 0: all.

        Raises:
            UnknownModelError: `drafts` names no model.
        """
        check_default(models, drafts)
        self.models = models
        self.loads = self.failures = self.unloads = 0
        self._loader = loader
        self._drafts = drafts
        self._keep = keep
        self._look = Look()
        self._loading: dict[str, asyncio.Task[ServedModel]] = {}
        self._going: dict[str, asyncio.Task[None]] = {}
        self._failed: dict[str, Failure] = {}
        self._told: set[str] = set()  # to be served, whatever comes
        self._unwanted: set[str] = set()  # unloaded by a call: not loaded again without one
        self._calls: set[asyncio.Task[None]] = set()
        self._one_at_a_time = asyncio.Lock()
        self._assign(list(models), ())

    def others(self) -> list[Version]:
        """Every version that is loaded or could not be, and those that go, sorted by name and number."""
        # Copies: metrics are read on another thread.
        leaving = [Version(*name_and_number(reference), State.UNLOADING) for reference in list(self._going)]
        loading = [Version(*name_and_number(reference), State.LOADING) for reference in list(self._loading)]
        failed = [Version(*name_and_number(one), State.FAILED, why.error) for one, why in list(self._failed.items())]
        return sorted([*leaving, *loading, *failed], key=lambda version: (version.name, version.number))

    async def load(self, reference: str) -> ServedModel:
        """Serve "name@version", or the newest version of "name" in the folder, and return it. It stays until `unload`.

        Goes on if the caller is cancelled.

        Raises:
            UnknownModelError: the folder holds no such version.
            BadVersionError: it cannot be served.
            UnloadingError: it is about to go.
        """
        model = self._served(reference)
        if model is None:
            found = await self._find(reference)
            self._unwanted.discard(found.reference)
            model = await self._load(found)
        self._told.add(model.reference)
        return model

    async def unload(self, reference: str, seconds: float | None = None) -> None:
        """Take no new requests to "name@version", and return when those that run have ended and it is freed.

        Goes on if the caller is cancelled.    seconds: after which requests are ended; None: never.

        Raises:
            UnknownModelError: there is no such version, neither served nor in the folder.
            LastModelError: no other is served.
        """
        if (loading := self._loading.get(reference)) is not None:
            await asyncio.wait([loading])
        if reference in self.models.references:
            if len(self.models.references) == 1:
                raise LastModelError(reference)
            self._retire(self.models.find(reference))
        elif reference not in self._going and self._failed.pop(reference, None) is None:
            await self._find(reference)
        self._unwanted.add(reference)
        self._told.discard(reference)
        await asyncio.shield(self._own(self._end(reference, seconds)))

    async def watch(self, seconds: float) -> None:
        """Look into the folder every `seconds`, for ever."""
        complaint = ""
        while True:
            try:
                await self.look()
                complaint = ""
            except (BundleError, OSError) as error:  # a network drive may be away for a while
                if str(error) != complaint:
                    _log.warning("models are served on as they are: %s", error)
                complaint = str(error)
            await asyncio.sleep(seconds)

    async def look(self) -> None:
        """Load the versions that are new in the folder and have not changed since the last look; retire old ones.

        A version that failed is tried again once it changes. One that is no longer in the folder is served on.
        """
        await asyncio.to_thread(self._look.take, self._loader.folder)
        self._failed = {one: why for one, why in self._failed.items() if self._look.stamps.get(one) == why.stamp}
        for found in self._look.settled():
            if self._is_wanted(found) and not self._is_known(found.reference):
                with suppress(BadVersionError):
                    await self._load(found)
        for name in {model.manifest.name for model in self.models}:
            self._retire_old(name)

    async def close(self) -> None:
        """Load and retire nothing more. Engines are the server's to stop."""
        tasks = [*self._loading.values(), *self._going.values(), *self._calls]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _find(self, reference: str) -> Found:
        """Return the version in the folder, the newest one of a name. Raises as `load`."""
        try:
            found = await asyncio.to_thread(Look().take, self._loader.folder)
        except (BundleError, OSError) as error:
            raise BadVersionError(reference, str(error)) from None
        matching = [one for one in found if reference in (one.name, one.reference)]
        if not matching:
            raise UnknownModelError(reference, [one.reference for one in found])
        return max(matching, key=lambda one: one.number)

    def _is_wanted(self, found: Found) -> bool:
        """Whether a version is among the newest that are to be served."""
        there = [one.reference for one in self._look.found if one.name == found.name]
        served = [model.reference for model in self.models if model.manifest.name == found.name]
        usable = {*there, *served} - self._unwanted - self._failed.keys()
        return found.reference in newest_first(usable)[: self._keep or None]

    def _is_known(self, reference: str) -> bool:
        return any(reference in known for known in (self._loading, self._going)) or bool(self._served(reference))

    def _served(self, reference: str) -> ServedModel | None:
        return next((model for model in self.models if model.reference == reference), None)

    async def _load(self, found: Found) -> ServedModel:
        if (served := self._served(found.reference)) is not None:
            return served
        if found.reference in self._going:
            raise UnloadingError(found.reference)
        if found.reference not in self._loading:
            self._loading[found.reference] = asyncio.create_task(self._open(found))
        return await asyncio.shield(self._loading[found.reference])

    async def _open(self, found: Found) -> ServedModel:
        self._failed.pop(found.reference, None)
        try:
            async with self._one_at_a_time:
                like = next((model for model in reversed([*self.models]) if model.manifest.name == found.name), None)
                _log.info("%s: loading", found.reference)
                loader = self._loader
                model = await asyncio.get_running_loop().run_in_executor(
                    loader.thread, loader.load_aside, found.path, like
                )
            model.engine.start()
            self._assign([*self.models, model], self.models.leaving)
            self.loads += 1
            _log.info("%s: serving", found.reference)
            return model
        except (BundleError, DeviceError) as error:
            _log.error("%s: not served: %s", found.reference, error)
            raise self._fail(found, str(error).removeprefix(f"{self._loader.folder}/")) from None
        except Exception:  # noqa: BLE001 whatever is wrong with one version, the others are served on
            _log.exception("%s: not served", found.reference)
            raise self._fail(found, "a fault of the server's, told in its log") from None
        finally:
            del self._loading[found.reference]

    def _fail(self, found: Found, reason: str) -> BadVersionError:
        self.failures += 1
        self._failed[found.reference] = Failure(reason, found.stamp)
        return BadVersionError(found.reference, reason)

    def _retire_old(self, name: str) -> None:
        served = [model for model in self.models if model.manifest.name == name]
        for model in served[: -self._keep] if self._keep else ():
            if model.reference not in self._told:
                self._retire(model)

    def _retire(self, model: ServedModel) -> None:
        """Let a version go when the last of its requests has ended."""
        _log.info("%s: takes no new requests; %d run", model.reference, model.users.count)
        rest = [other for other in self.models if other.reference != model.reference]
        self._assign(rest, [*self.models.leaving, model])
        self._going[model.reference] = asyncio.create_task(self._let_go(model))

    async def _let_go(self, model: ServedModel) -> None:
        reference = model.reference
        await model.users.gone()
        await model.engine.stop()
        self._assign(list(self.models), [other for other in self.models.leaving if other.reference != reference])
        freed = asyncio.Event()
        loop = asyncio.get_running_loop()
        last = weakref.finalize(model.engine.runner, loop.call_soon_threadsafe, freed.set)
        del model
        # Engines that it drafted for let go of it when they wake up, or when they go themselves.
        try:
            with suppress(TimeoutError):
                await asyncio.wait_for(freed.wait(), _FREED_SECONDS)
        finally:
            last.detach()
        await asyncio.to_thread(give_back)
        del self._going[reference]
        self.unloads += 1
        _log.info("%s: gone", reference)

    async def _end(self, reference: str, seconds: float | None) -> None:
        """Wait until a version has gone, or end its requests after `seconds`."""
        if (going := self._going.get(reference)) is None:
            return
        await asyncio.wait([going], timeout=seconds)
        for model in self.models.leaving:
            if model.reference == reference:
                await model.engine.stop()
        await asyncio.wait([going])

    def _assign(self, models: list[ServedModel], leaving: list[ServedModel] | tuple[ServedModel, ...]) -> None:
        self.models.assign(with_drafts(models, self._drafts), leaving)

    def _own(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Return a task that lives until it is done, whoever waits for it."""
        task = asyncio.create_task(work)
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)
        return task
