// SPDX-License-Identifier: Apache-2.0

using System.Runtime.InteropServices;
using System.Runtime.Versioning;
using Microsoft.Win32.SafeHandles;
using Mooncake.Mesh.Segments;
using Mooncake.Mesh.Segments.Interop;
using static Mooncake.Mesh.Tests.Segments.TestStores;

namespace Mooncake.Mesh.Tests.Segments;

[SupportedOSPlatform("linux")]
public sealed class MemoryBlockTests
{
    private const int Eacces = 13;

    [Fact]
    public unsafe void A_reader_sees_what_the_owner_writes_and_cannot_write_it()
    {
        using MemoryBlock block = MemoryBlock.Allocate("test", 10_000, hugePages: false).Value;
        Assert.Equal(12_288, block.Length);
        using MemoryBlock reader = MemoryBlock.MapReadOnly(block.OpenReadOnly().Value, block.Length, populate: true).Value;
        block.Pointer[5_000] = 42;
        Assert.Equal(42, reader.Pointer[5_000]);

        int fd = block.OpenReadOnly().Value;
        nint writable = LibC.mmap(
            0, (nuint)block.Length, LibC.PROT_READ | LibC.PROT_WRITE, LibC.MAP_SHARED, fd, 0);
        Assert.Equal(LibC.MAP_FAILED, writable);
        Assert.Equal(Eacces, Marshal.GetLastPInvokeError());
        Assert.Equal(0, LibC.close(fd));
        Assert.Equal(MeshErrorCode.Closed, reader.OpenReadOnly().Error!.Code);
        Assert.Throws<InvalidOperationException>(() => { _ = reader.TouchAsync(Runtime, default); });
    }

    [Fact]
    public void Mode_is_0600_and_size_and_seals_are_fixed()
    {
        using MemoryBlock block = MemoryBlock.Allocate("test", Granule, hugePages: false).Value;
        using var file = new SafeFileHandle(block.OpenReadOnly().Value, ownsHandle: true);
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(file));
        Assert.Equal(LibC.F_SEAL_SHRINK | LibC.F_SEAL_GROW | LibC.F_SEAL_SEAL,
            LibC.fcntl((int)file.DangerousGetHandle(), LibC.F_GET_SEALS, 0));
        using var writable = new FileStream($"/proc/self/fd/{file.DangerousGetHandle()}", FileMode.Open);
        Assert.ThrowsAny<Exception>(() => writable.SetLength(0));
        Assert.ThrowsAny<Exception>(() => writable.SetLength(2 * Granule));
    }

    [Fact]
    public void A_length_beyond_the_peers_memory_is_refused()
    {
        using MemoryBlock block = MemoryBlock.Allocate("test", Granule, hugePages: false).Value;
        MeshError error = MemoryBlock.MapReadOnly(block.OpenReadOnly().Value, Granule + 1).Error!;
        Assert.Equal(MeshErrorCode.InvalidArgument, error.Code);
        Assert.Equal(MeshErrorCode.System, MemoryBlock.MapReadOnly(-1, Granule).Error!.Code);
    }

    [Fact]
    public unsafe void Memory_that_could_shrink_is_refused()
    {
        string path = Path.GetTempFileName();
        try
        {
            File.WriteAllBytes(path, new byte[Granule]);
            fixed (byte* native = System.Text.Encoding.UTF8.GetBytes(path + '\0'))
            {
                int fd = LibC.open(native, LibC.O_RDONLY | LibC.O_CLOEXEC, 0);
                MeshError error = MemoryBlock.MapReadOnly(fd, Granule).Error!;
                Assert.Contains("not sealed", error.Message, StringComparison.Ordinal);
            }
        }
        finally
        {
            File.Delete(path);
        }
    }

    [Fact]
    public void More_than_the_host_has_is_refused_in_one_line()
    {
        const long Length = SegmentOptions.MaxLength;
        MeshError error = MemoryBlock.Allocate("segment-x", Length, hugePages: true).Error!;
        Assert.Equal(MeshErrorCode.System, error.Code);
        Assert.Equal("config:segments", error.Stage);
        Assert.Matches("^length of 'segment-x' is 4398046511104 bytes; the limit is [0-9]+ bytes \\(.+\\)$", error.Message);
    }

    [Fact]
    public void Segments_are_weighed_together()
    {
        long most = MemoryLimit.Read().Bytes;
        MeshError error = MemoryBlock.Allocate("second", 1 << 20, false, -1, alreadyPromised: most).Error!;
        Assert.Equal("config:segments", error.Stage);
        Assert.Contains("beside", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Limits_are_read_from_the_texts_of_the_kernel()
    {
        Assert.True(MemoryLimit.TryReadMemAvailable("MemTotal: 9 kB\nMemAvailable:   24195268 kB\n", out long bytes));
        Assert.Equal(24195268L * 1024, bytes);
        Assert.False(MemoryLimit.TryReadMemAvailable("MemTotal: 9 kB\n", out _));
        Assert.Equal("/system.slice/x", MemoryLimit.CgroupPath("1:cpu:/a\n0::/system.slice/x\n"));
        Assert.Null(MemoryLimit.CgroupPath("1:cpu:/a\n"));
    }

    [Theory]
    [InlineData(Granule)]
    [InlineData((4 << 20) + 1)]
    public unsafe void Huge_pages_are_taken_or_the_reason_is_kept(long length)
    {
        using MemoryBlock block = MemoryBlock.Allocate("test", length, hugePages: true).Value;
        Assert.Equal(block.HugePages, block.HugePagesReason is null);
        block.Pointer[length - 1] = 1;
        using MemoryBlock reader = MemoryBlock.MapReadOnly(block.OpenReadOnly().Value, length).Value;
        Assert.Equal(1, reader.Pointer[length - 1]);
    }

    [Fact]
    public async Task Touching_takes_the_pages_and_changes_no_byte()
    {
        const long Length = 70L << 20;
        using MemoryBlock block = MemoryBlock.Allocate("test", Length, hugePages: false).Value;
        Write(block, Length);
        await block.TouchAsync(Runtime, CancellationToken.None);
        Check(block, Length);

        static unsafe void Write(MemoryBlock block, long length)
        {
            for (long at = 0; at < length; at += 1 << 20)
                block.Pointer[at] = (byte)(at >> 20);
        }

        static unsafe void Check(MemoryBlock block, long length)
        {
            for (long at = 0; at < length; at += 1 << 20)
                Assert.Equal((byte)(at >> 20), block.Pointer[at]);
        }
    }

    [Fact]
    public async Task Touching_ends_on_cancel_and_on_dispose()
    {
        MemoryBlock block = MemoryBlock.Allocate("test", Granule, hugePages: false).Value;
        await Assert.ThrowsAnyAsync<OperationCanceledException>(
            () => block.TouchAsync(Runtime, new CancellationToken(canceled: true)));
        block.Dispose();
        block.Dispose();
        await block.TouchAsync(Runtime, CancellationToken.None);
        Assert.Equal(MeshErrorCode.Closed, block.OpenReadOnly().Error!.Code);
    }
}
