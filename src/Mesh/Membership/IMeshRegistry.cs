// SPDX-License-Identifier: Apache-2.0
namespace Mooncake.Mesh.Membership;

/// <summary>One key of the registry, as last written.</summary>
/// <param name="Key">The key below the mesh's prefix: "config", "nodes/n1", "cleared/default".</param>
/// <param name="Value">The value's bytes (JSON).</param>
/// <param name="Lease">The lease it lives on, or 0.</param>
/// <param name="ModRevision">The revision that wrote it.</param>
public sealed record RegistryEntry(string Key, byte[] Value, long Lease, long ModRevision);

/// <summary>Every key of the mesh at one revision.</summary>
/// <param name="Revision">The registry's revision at the read.</param>
/// <param name="Entries">The keys, ordered by name.</param>
public sealed record RegistryListing(long Revision, IReadOnlyList<RegistryEntry> Entries);

/// <summary>One change of one key.</summary>
/// <param name="Revision">The revision that made it.</param>
/// <param name="Key">The key below the mesh's prefix.</param>
/// <param name="Entry">What it holds now, or null when it was deleted.</param>
public sealed record RegistryEvent(long Revision, string Key, RegistryEntry? Entry);

/// <summary>Why a watch ended.</summary>
public enum WatchEnd
{
    /// <summary>The connection or the stream ended; list again.</summary>
    Broken,

    /// <summary>The start revision is compacted; list again.</summary>
    Compacted,
}

/// <summary>The outcome of a guarded write.</summary>
/// <param name="Succeeded">Whether it was written.</param>
/// <param name="Revision">The registry's revision after the call.</param>
/// <param name="Current">When not written: what the key holds (null: nothing).</param>
public sealed record RegistryWrite(bool Succeeded, long Revision, RegistryEntry? Current);

/// <summary>
/// The coordination store, seen below one mesh's prefix. Thread-safe. Each call ends by its own deadline with an
/// answer or a <see cref="RegistryException"/>; none retries forever. Leases, views, wipes and recovery are decided
/// above, in one place for etcd, the embedded registry and a simulated one.
/// </summary>
public interface IMeshRegistry : IAsyncDisposable
{
    /// <summary>A linearizable read of every key.</summary>
    Task<RegistryListing> ListAsync(CancellationToken cancel);

    /// <summary>
    /// Delivers every change from <paramref name="fromRevision"/> on, in order, until the watch ends. A call of
    /// <paramref name="onEvents"/> must not block; it gets the events of one revision or more, in order.
    /// </summary>
    Task<WatchEnd> WatchAsync(
        long fromRevision, Action<IReadOnlyList<RegistryEvent>> onEvents, CancellationToken cancel);

    /// <summary>Makes a lease; the store may grant another time to live than was asked for.</summary>
    Task<RegistryLease> GrantLeaseAsync(TimeSpan timeToLive, CancellationToken cancel);

    /// <summary>Renews a lease; the granted time to live, or null when the lease is gone.</summary>
    Task<TimeSpan?> KeepAliveAsync(long lease, CancellationToken cancel);

    /// <summary>Ends a lease and deletes the keys on it; an unknown lease is no error.</summary>
    Task RevokeLeaseAsync(long lease, CancellationToken cancel);

    /// <summary>
    /// Writes a key if its revision is still <paramref name="expectedModRevision"/> (0: if it does not exist), on
    /// <paramref name="lease"/> (0: none).
    /// </summary>
    Task<RegistryWrite> WriteIfAsync(string key, byte[] value, long lease, long expectedModRevision,
        CancellationToken cancel);
}

/// <summary>A granted lease.</summary>
/// <param name="Id">Its id, never 0.</param>
/// <param name="TimeToLive">What the store granted.</param>
public sealed record RegistryLease(long Id, TimeSpan TimeToLive);

/// <summary>How the registry refused.</summary>
public enum RegistryFailure
{
    /// <summary>Not reachable, or no answer by the deadline.</summary>
    Unavailable,

    /// <summary>The lease named in a write is gone.</summary>
    LeaseNotFound,

    /// <summary>User, password, permission or certificate refused.</summary>
    Denied,

    /// <summary>etcd's NOSPACE alarm: read-only until disarmed.</summary>
    NoSpace,

    /// <summary>Anything else it refused.</summary>
    Refused,
}

/// <summary>A registry call failed.</summary>
public sealed class RegistryException(RegistryFailure failure, string message, Exception? inner = null)
    : Exception(message, inner)
{
    /// <summary>What kind of failure.</summary>
    public RegistryFailure Failure { get; } = failure;
}
