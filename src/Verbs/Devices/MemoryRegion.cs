// SPDX-License-Identifier: Apache-2.0

using System.Runtime.InteropServices;
using Mooncake.Mesh.Verbs.Interop;

namespace Mooncake.Mesh.Verbs.Devices;

/// <summary>Who may do what with registered memory.</summary>
[Flags]
internal enum MemoryAccess : uint
{
    /// <summary>This device may read it, and that is all.</summary>
    None = 0,

    /// <summary>
    /// This device may write it: it takes what RDMA READs fetch. Needed for <see cref="RemoteWrite"/>.
    /// </summary>
    LocalWrite = ibv_access_flags.IBV_ACCESS_LOCAL_WRITE,

    /// <summary>A peer may write it.</summary>
    RemoteWrite = ibv_access_flags.IBV_ACCESS_REMOTE_WRITE,

    /// <summary>A peer may read it.</summary>
    RemoteRead = ibv_access_flags.IBV_ACCESS_REMOTE_READ,

    /// <summary>
    /// Writes may pass one another on PCIe, which some hosts need for full speed: bytes are whole only once the
    /// completion has been polled. Left out without a word where library or kernel have no such thing.
    /// </summary>
    RelaxedOrdering = ibv_access_flags.IBV_ACCESS_RELAXED_ORDERING,
}

/// <summary>
/// Memory that a device may reach, until this is disposed. The memory stays the caller's: it must outlive this.
/// </summary>
/// <remarks>
/// A child process would share the pages until one of the two writes and then send the device to the wrong copy.
/// ibv_fork_init would guard against it at a cost for every registration; instead the mappings that are registered here
/// are kept from children (MADV_DONTFORK) by whoever makes them, and newer kernels copy pinned pages when they fork.
/// </remarks>
internal sealed unsafe class MemoryRegion : IDisposable
{
    private readonly VerbsHandle _region;

    private MemoryRegion(VerbsHandle region, ibv_mr* native, ulong address, long length)
    {
        _region = region;
        Address = address;
        Length = length;
        LocalKey = native->lkey;
        RemoteKey = native->rkey;
    }

    /// <summary>Where the region starts, as work requests name it.</summary>
    internal ulong Address { get; }

    /// <summary>Its length in bytes.</summary>
    internal long Length { get; }

    /// <summary>Names the region in the local pieces of work requests.</summary>
    internal uint LocalKey { get; }

    /// <summary>Names the region in the peer's work requests. Not the same as the local key on every device.</summary>
    internal uint RemoteKey { get; }

    /// <summary>
    /// Ends the device's reach. Never throws: a refusal is counted in <see cref="VerbsDevice.Counts"/>. The caller sees
    /// to it that no work with this region is outstanding.
    /// </summary>
    public void Dispose() => _region.Dispose();

    internal static MemoryRegion Register(
        IbverbsLibrary library, VerbsHandle domain, VerbsCounts counts, nint address, long length, MemoryAccess access)
    {
        bool relaxed = (access & MemoryAccess.RelaxedOrdering) != 0 && library.ibv_reg_mr_iova2 is not null;
        var region = new VerbsHandle(library.ibv_dereg_mr, counts, domain);
        var pd = (ibv_pd*)domain.Native;
        ibv_mr* native = relaxed
            ? library.ibv_reg_mr_iova2(pd, (void*)address, (nuint)length, (ulong)address, (uint)access)
            : library.ibv_reg_mr(pd, (void*)address, (nuint)length, (int)(access & ~MemoryAccess.RelaxedOrdering));
        int errno = Marshal.GetLastSystemError();
        return Own(region, native, errno, "ibv_reg_mr", (ulong)address, length);
    }

    internal static MemoryRegion RegisterDmaBuf(
        IbverbsLibrary library, VerbsHandle domain, VerbsCounts counts, int descriptor, long offset, long length,
        ulong address, MemoryAccess access)
    {
        var region = new VerbsHandle(library.ibv_dereg_mr, counts, domain);
        ibv_mr* native = library.ibv_reg_dmabuf_mr(
            (ibv_pd*)domain.Native, (ulong)offset, (nuint)length, address, descriptor, (int)access);
        int errno = Marshal.GetLastSystemError();
        return Own(region, native, errno, "ibv_reg_dmabuf_mr", address, length);
    }

    private static MemoryRegion Own(
        VerbsHandle region, ibv_mr* native, int errno, string call, ulong address, long length)
    {
        if (native is null)
        {
            region.Dispose();
            throw VerbsException.ForLockedMemory(errno, call, length);
        }

        region.Adopt(native);
        return new MemoryRegion(region, native, address, length);
    }
}
