// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Membership;

/// <summary>Writes a node's record, never over another incarnation's.</summary>
internal sealed class RecordWriter(IMeshRegistry registry, MeshRuntime runtime, RegistryHealth health)
{
    private const int MaxWriteAttempts = 4;

    /// <summary>Writes our record if the key is free or holds our own incarnation.</summary>
    /// <returns>The revision, or NodeIdInUse.</returns>
    public async Task<MeshResult<long>> WriteAsync(
        NodeRecord record, long lease, long expected, CancellationToken stop)
    {
        string key = RegistryMirror.NodePrefix + record.NodeId;
        byte[] json = record.ToJson();
        for (int attempt = 0; attempt < MaxWriteAttempts; attempt++)
        {
            long guard = expected;
            var write = await runtime.BoundedAsync(health.LeaseTtl / 3, stop,
                token => registry.WriteIfAsync(key, json, lease, guard, token));
            if (write.Succeeded)
                return write.Revision;
            if (write.Current is not { } current)
            {
                expected = 0;
                continue;
            }

            var holder = NodeRecord.FromJson(current.Value);
            if (holder?.Incarnation != record.Incarnation)
                return new MeshError(MeshErrorCode.NodeIdInUse, "membership",
                    $"node id '{record.NodeId}' is in use by incarnation {holder?.Incarnation:x} " +
                    $"at {string.Join(", ", holder?.Endpoints ?? [])}");
            // The guard may have failed against our own earlier attempt, whose answer was lost.
            if (current.Lease == lease && current.Value.AsSpan().SequenceEqual(json))
                return current.ModRevision;
            expected = current.ModRevision;
        }

        throw new RegistryException(RegistryFailure.Unavailable, $"{key} changed at each of {MaxWriteAttempts} writes");
    }
}
