// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Control;
using Mooncake.Mesh.Directory;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Segments;
using Mooncake.Mesh.Tests.Shared;
using Mooncake.Mesh.Transfer;

namespace Mooncake.Mesh.Simulation;

/// <summary>
/// The mistakes that the rules of the design are there to prevent, one each: what a node runs on with it, and which
/// invariants it breaks.
/// </summary>
internal sealed record PlantedBug(Func<MeshRuntime, MeshPolicies> Policies, params string[] Breaks)
{
    /// <summary>All of them, by name.</summary>
    public static IReadOnlyDictionary<string, PlantedBug> All { get; } = new Dictionary<string, PlantedBug>
    {
        ["generation changed after reuse"] = new(
            static runtime => MeshPolicies.Default with { Word = new LateWord(runtime) }, HistoryChecker.Bytes,
            RunChecker.Extents),
        ["check before the copy"] = new(
            static _ => MeshPolicies.Default with { Read = new CheckFirst() }, HistoryChecker.Bytes),
        ["view pinned by time"] = new(
            static runtime => MeshPolicies.Default with { Pin = new TimedPin(runtime) }, HistoryChecker.Bytes),
        ["rival copy kept as replica"] = new(
            static _ => MeshPolicies.Default with { Join = new AnyJoins() }, RunChecker.Copies, HistoryChecker.Bytes),
        ["backup decides"] = new(
            static _ => MeshPolicies.Default with { Acting = new BackupActs() }, RunChecker.Decides),
        ["tombstone without objectId"] = new(
            static _ => MeshPolicies.Default with { Tombstone = new AnyPasses() }, HistoryChecker.Order),
        ["purge without session"] = new(
            static _ => MeshPolicies.Default with { Gone = static (time, patience) => new GoneByNode(time, patience) },
            HistoryChecker.Found, RunChecker.Agreement),
        ["incomplete owner says absent"] = new(
            static _ => MeshPolicies.Default with { Deny = new AlwaysDenies() }, HistoryChecker.Found),
        ["revision trusted across a wipe"] = new(
            static _ => MeshPolicies.Default with { Config = new RevisionAlone() }, RunChecker.Agreement),
        ["call returns before its transfer is flushed"] = new(
            static _ => MeshPolicies.Default with { Flush = new NoFlush() }, HistoryChecker.Buffers),
    };

    /// <summary>The word changes when the next object is there already.</summary>
    private sealed class LateWord(MeshRuntime runtime) : IWordRule
    {
        private static readonly TimeSpan Late = TimeSpan.FromMilliseconds(5);

        public ulong Given(GenerationTable words, long offset)
        {
            ulong word = words.Next();
            _ = runtime.Start(async () =>
            {
                await runtime.Delay(Late, CancellationToken.None);
                if (HasMemory(words))
                    words.Set(offset, word);
            });
            return word;
        }

        public void Left(GenerationTable words, long offset)
        {
        }

        private static unsafe bool HasMemory(GenerationTable words) => words.Memory.Pointer is not null;
    }

    private sealed class CheckFirst : IReadRule
    {
        public async ValueTask<TransferOutcome> RunAsync(OneSidedRead read)
        {
            var current = await read.CheckAsync();
            return current == TransferOutcome.Done ? await read.CopyAsync() : current;
        }
    }

    private sealed class TimedPin(MeshRuntime runtime) : IPinRule
    {
        private static readonly TimeSpan Life = TimeSpan.FromMilliseconds(500);

        public ExtentPin Hold(ExtentPin pin)
        {
            _ = runtime.Start(async () =>
            {
                await runtime.Delay(Life, CancellationToken.None);
                pin.Dispose();
            });
            return pin;
        }
    }

    private sealed class AnyJoins : IJoinRule
    {
        public bool MayJoin(ObjectRecord record, ObjectRecord offer) => true;
    }

    private sealed class BackupActs : IActingRule
    {
        public bool IsActing(Roles roles, int slot, Func<NodeRecord, bool> isUnreachable) =>
            roles.PlaceOf(slot) == 1 || new ActingRule().IsActing(roles, slot, isUnreachable);
    }

    private sealed class AnyPasses : ITombstoneRule
    {
        public bool MayPass(ulong removed, ulong offered) => true;
    }

    /// <summary>Who vanished once is purged, though the node is back: its first absence is what counts.</summary>
    private sealed class GoneByNode(TimeProvider time, TimeSpan patience) : IGoneHolders
    {
        private readonly Dictionary<ulong, long> _missingSince = [];

        public void Adopt(MeshView previous, MeshView next)
        {
            foreach (var member in previous.Members)
            {
                if (!next.IsMember(member.Incarnation))
                    _missingSince.TryAdd(member.Incarnation, time.GetTimestamp());
            }
        }

        public bool IsGone(ulong incarnation, MeshView view) =>
            _missingSince.TryGetValue(incarnation, out long since) && time.GetElapsedTime(since) > patience;
    }

    private sealed class AlwaysDenies : IDenyRule
    {
        public bool MayDeny(bool complete, bool awaited) => true;
    }

    /// <summary>Nobody raises the epoch: a registry that was wiped gets its config back as it was.</summary>
    private sealed class RevisionAlone : IConfigPolicy
    {
        public MeshConfig? Judge(MeshConfig? listed, long revision, ListingBaseline baseline, long greatestEpoch) =>
            listed is null && baseline.Config.MeshId != 0 ? baseline.Config : null;
    }

    private sealed class NoFlush : IFlushRule
    {
        public Task GiveUpAsync(IOneSidedLink link) => Task.CompletedTask;
    }
}
