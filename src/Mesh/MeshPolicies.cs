// SPDX-License-Identifier: Apache-2.0

using Mooncake.Mesh.Directory;
using Mooncake.Mesh.Membership;
using Mooncake.Mesh.Segments;
using Mooncake.Mesh.Transfer;

namespace Mooncake.Mesh;

/// <summary>
/// The rules that keep the mesh safe, each in the one class that is its only place in the code. Nobody sets them but
/// the simulation, which replaces one by a wrong one, to see that it would be noticed.
/// </summary>
internal sealed record MeshPolicies
{
    /// <summary>The rules as they are.</summary>
    public static MeshPolicies Default { get; } = new();

    /// <summary>Rule A1 at the holder: when the word of an extent changes.</summary>
    public IWordRule Word { get; init; } = new WordRule();

    /// <summary>Rule A1 at the reader: when the word is looked at.</summary>
    public IReadRule Read { get; init; } = new ReadRule();

    /// <summary>Rule A2: how long a view keeps its extent in place.</summary>
    public IPinRule Pin { get; init; } = new PinRule();

    /// <summary>Rule A4: what a read that is given up waits for.</summary>
    public IFlushRule Flush { get; init; } = new FlushRule();

    /// <summary>Rule A6: which copies join an object.</summary>
    public IJoinRule Join { get; init; } = new JoinRule();

    /// <summary>Rule A7: which owner decides.</summary>
    public IActingRule Acting { get; init; } = new ActingRule();

    /// <summary>Rule A9: which puts a tombstone stops.</summary>
    public ITombstoneRule Tombstone { get; init; } = new TombstoneRule();

    /// <summary>Rule A10: when the replicas of a holder that has vanished are forgotten; one for each owner.</summary>
    public Func<TimeProvider, TimeSpan, IGoneHolders> Gone { get; init; } =
        static (time, patience) => new GoneHolders(time, patience);

    /// <summary>Rule A11: when a key is denied.</summary>
    public IDenyRule Deny { get; init; } = new DenyRule();

    /// <summary>Section 3: what a registry that has lost its past is told.</summary>
    public IConfigPolicy Config { get; init; } = new ConfigPolicy();
}
