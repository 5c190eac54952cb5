// SPDX-License-Identifier: Apache-2.0

// On the data path.
using Mooncake.Mesh.Transfer.Engine.Memory;
using Mooncake.Mesh.Transfer.Staging;

namespace Mooncake.Mesh.Transfer.Engine.Local;

/// <summary>Copies within this process, between registered memory.</summary>
/// <param name="memory">What is registered.</param>
internal sealed unsafe class SelfPath(RegisteredMemory memory) : ICopyPath
{
    /// <inheritdoc/>
    public string Name => "self";

    /// <inheritdoc/>
    public bool Reaches(ulong address, ulong length) => true;

    /// <inheritdoc/>
    public void Copy(TransferOpcode opcode, Span<EngineEntry> entries, in MoveBounds bounds)
    {
        bool stream = EngineEntry.BytesOf(entries) >= NativeCopy.Streaming;
        foreach (ref var entry in entries)
        {
            // One's own memory needs not be open to others.
            if (memory.Enter(entry.Remote, (ulong)entry.Length) is not { } region)
            {
                entry.Status = EntryStatus.NotRegistered;
                continue;
            }

            if ((region.Device ?? entry.Region.Device) is not null)
            {
                entry.Status = Move(opcode, entry, region, bounds);
                region.Leave();
                continue;
            }

            bool read = opcode == TransferOpcode.Read;
            byte* from = (byte*)(read ? (nint)entry.Remote : entry.Local);
            byte* to = (byte*)(read ? entry.Local : (nint)entry.Remote);
            bool apart = from + entry.Length <= to || to + entry.Length <= from;
            // The fast copies of large pieces do not mind their order; ranges that overlap do.
            NativeCopy.Copy(from, to, entry.Length, apart && stream);
            region.Leave();
            entry.Status = EntryStatus.Done;
        }
    }

    /// <summary>Moves a piece of which an end is a device's; this thread waits for the device.</summary>
    private static EntryStatus Move(TransferOpcode opcode, in EngineEntry entry, RegisteredRegion target,
        in MoveBounds bounds)
    {
        var here = RangeOf(entry.Region, entry.Local, entry.Length);
        var there = RangeOf(target, (nint)entry.Remote, entry.Length);
        bool read = opcode == TransferOpcode.Read;
        return DeviceMoves.Run(read ? there : here, read ? here : there, null, sumAcross: false, bounds.Left,
            bounds.Stop) switch
        {
            TransferOutcome.Done => EntryStatus.Done,
            TransferOutcome.DeviceFailed => EntryStatus.DeviceFailed,
            _ => EntryStatus.Unreachable,
        };
    }

    private static NativeRange RangeOf(RegisteredRegion region, nint address, long length) =>
        region.Device?.RangeOf(address, length) ?? new NativeRange(address, length);
}
