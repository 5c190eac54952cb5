// SPDX-License-Identifier: Apache-2.0

// On the data path.
using System.Buffers;

namespace Mooncake.Mesh.Transfer;

/// <summary>
/// Host memory of a caller as managed memory, without a copy. To be used only as long as the caller keeps it in place:
/// until the call ends.
/// </summary>
/// <param name="range">The memory, of less than 2 GiB.</param>
internal sealed unsafe class RangeMemory(NativeRange range) : MemoryManager<byte>
{
    public override Span<byte> GetSpan() => new((byte*)range.Address, (int)range.Length);

    public override MemoryHandle Pin(int elementIndex = 0) => new((byte*)range.Address + elementIndex);

    public override void Unpin()
    {
    }

    protected override void Dispose(bool disposing)
    {
    }
}
