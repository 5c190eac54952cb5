// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Directory;

/// <summary>What an owner has done since it started. Thread-safe.</summary>
internal sealed class OwnerCounters
{
    private long _located;
    private long _accepted;
    private long _removed;
    private long _retracted;
    private long _unclaimed;
    private long _retractRefused;

    public long LocatedKeys => Volatile.Read(ref _located);

    public long AcceptedPuts => Volatile.Read(ref _accepted);

    public long RemovedKeys => Volatile.Read(ref _removed);

    public long RetractedReplicas => Volatile.Read(ref _retracted);

    public long RefusedRetracts => Volatile.Read(ref _retractRefused);

    /// <summary>Copies on record that their holder did not have.</summary>
    public long UnclaimedReplicas => Volatile.Read(ref _unclaimed);

    public void Unclaimed(int replicas) => Interlocked.Add(ref _unclaimed, replicas);

    public void Located(int keys) => Interlocked.Add(ref _located, keys);

    public void Accepted() => Interlocked.Increment(ref _accepted);

    public void Removed() => Interlocked.Increment(ref _removed);

    public void Retracted() => Interlocked.Increment(ref _retracted);

    public void RetractRefused() => Interlocked.Increment(ref _retractRefused);
}
