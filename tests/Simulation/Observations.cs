// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Tests.Shared;

namespace Mooncake.Mesh.Simulation;

/// <summary>How full a store was.</summary>
/// <param name="Used">What its allocators have given out.</param>
internal sealed record UsageSample(long At, string NodeId, long Live, long Filling, long Zombie, long Used);

/// <summary>Which value lay in an extent under which generation word.</summary>
internal sealed record ExtentSample(long At, ulong Incarnation, ulong ObjectId, int Segment, long Offset, ulong Word,
    ulong Value);

/// <summary>Two owners who decide for one slot in one view, although they reach each other.</summary>
internal sealed record RivalOwners(long At, int Slot, string First, string Second);

/// <summary>What an owner knows of a key: the replicas that a caller is told of.</summary>
internal sealed record KnownRecord(string Key, RecordVersion Version, ulong ObjectId, bool Removed,
    IReadOnlyList<ulong> Replicas);

/// <summary>What a holder has.</summary>
internal sealed record KnownHeld(string Key, ulong ObjectId);

/// <summary>All that a node knows, as an owner (primary or backup) and as a holder.</summary>
internal sealed record NodeState(string NodeId, ulong Incarnation, string View, string? NotReady,
    IReadOnlyList<KnownRecord> Records, IReadOnlyList<KnownHeld> Held);

/// <summary>Everything that was seen of a run.</summary>
internal sealed class RunHistory
{
    private readonly List<CallRecord> _calls = [];
    private readonly List<UsageSample> _usage = [];
    private readonly List<ExtentSample> _extents = [];
    private readonly List<RivalOwners> _rivals = [];
    private readonly List<long> _begun = [];

    public IReadOnlyList<CallRecord> Calls => _calls;

    public IReadOnlyList<UsageSample> Usage => _usage;

    public IReadOnlyList<ExtentSample> Extents => _extents;

    public IReadOnlyList<RivalOwners> Rivals => _rivals;

    /// <summary>When a mesh began that has nothing of the one before.</summary>
    public IReadOnlyList<long> Begun => _begun;

    /// <summary>After quiet time; empty when the run has none.</summary>
    public IReadOnlyList<NodeState> Quiet { get; set; } = [];

    /// <summary>Notes a call; its place.</summary>
    public int Add(CallRecord call)
    {
        _calls.Add(call);
        return _calls.Count - 1;
    }

    public void Add(UsageSample sample) => _usage.Add(sample);

    public void Add(ExtentSample sample) => _extents.Add(sample);

    public void Add(RivalOwners sample) => _rivals.Add(sample);

    public void Begins(long at) => _begun.Add(at);

    /// <summary>How often the registry was wiped.</summary>
    public int Wipes { get; set; }

    /// <summary>Ids of the meshes that clients have been in.</summary>
    public HashSet<ulong> Meshes { get; } = [];

    /// <summary>The buffer of a call that had returned has changed.</summary>
    public void BufferChanged(int call) => _calls[call] = _calls[call] with { ChangedAfterReturn = true };
}
