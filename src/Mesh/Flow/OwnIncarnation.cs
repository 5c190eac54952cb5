// SPDX-License-Identifier: Apache-2.0

namespace Mooncake.Mesh.Flow;

/// <summary>
/// What this node's memory is called in records. It changes only once everything held was dropped (rule A8).
/// Thread-safe.
/// </summary>
internal sealed class OwnIncarnation(ulong first)
{
    private ulong _value = first;

    /// <summary>The present one.</summary>
    public ulong Value => Volatile.Read(ref _value);

    /// <summary>From now on the memory is another one.</summary>
    public void Renew(ulong next) => Volatile.Write(ref _value, next);
}
