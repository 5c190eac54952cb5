// SPDX-License-Identifier: Apache-2.0

using Microsoft.Win32.SafeHandles;
using Mooncake.Mesh.Devices;
using Mooncake.Mesh.Verbs.Devices;

namespace Mooncake.Mesh.Verbs.Memory;

/// <summary>
/// Lets a card reach memory of an accelerator: as a dma-buf, and where its driver, the kernel or the card knows no
/// such thing, by its address, which the kernel module nvidia_peermem makes good.
/// </summary>
internal static class DeviceRegion
{
    /// <summary>Registers memory.</summary>
    /// <param name="card">The card.</param>
    /// <param name="devices">Whose memory it is.</param>
    /// <param name="range">The memory; it must outlive the region.</param>
    /// <param name="access">Who may do what.</param>
    /// <exception cref="VerbsException">Refused both ways; it says why the first was.</exception>
    public static MemoryRegion Register(VerbsDevice card, IDeviceMemory devices, DeviceRange range,
        MemoryAccess access)
    {
        if (TryDmaBuf(card, devices, range, access, out string? why) is { } region)
            return region;
        try
        {
            return card.Register(range.Address, range.Length, access);
        }
        catch (VerbsException refused)
        {
            throw new VerbsException(refused.Errno, refused.Call,
                $"memory of a device, without nvidia_peermem perhaps; as a dma-buf: {why}");
        }
    }

    private static MemoryRegion? TryDmaBuf(VerbsDevice card, IDeviceMemory devices, DeviceRange range,
        MemoryAccess access, out string? why)
    {
        why = "rdma-core 34 or newer is needed";
        if (!card.TakesDmaBuf)
            return null;
        // What is exported are whole pages; the region begins and ends where the memory does.
        nint page = Environment.SystemPageSize;
        nint before = range.Address % page;
        long pages = (before + range.Length + page - 1) / page * page;
        var exported = devices.ExportDmaBuf(new DeviceRange(range.Address - before, pages));
        why = exported.Error?.Message;
        if (!exported.Succeeded)
            return null;
        // The region keeps the dma-buf by itself.
        using var descriptor = new SafeFileHandle(exported.Value, ownsHandle: true);
        try
        {
            return card.RegisterDmaBuf(exported.Value, before, range.Length, (ulong)range.Address, access);
        }
        catch (VerbsException refused)
        {
            why = refused.Message;
            return null;
        }
    }
}
