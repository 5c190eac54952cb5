// SPDX-License-Identifier: Apache-2.0

using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Mooncake.Mesh.Membership;

namespace Mooncake.Mesh.Cluster;

[Trait("needs", "etcd")]
public sealed class EtcdSecurityTests : IDisposable
{
    private readonly string _directory = System.IO.Directory.CreateTempSubdirectory("mesh-tls-").FullName;

    public void Dispose() => System.IO.Directory.Delete(_directory, recursive: true);

    [Fact]
    public async Task Mutual_tls()
    {
        string ca = MakeAuthority("ca", out var authority);
        var server = MakeLeaf(authority, "server");
        var client = MakeLeaf(authority, "client");
        string stranger = MakeAuthority("stranger", out _);
        await using var etcd = await EtcdProcess.StartAsync("--cert-file", server.Certificate, "--key-file", server.Key,
            "--trusted-ca-file", ca, "--client-cert-auth");
        var good = new EtcdRegistryOptions
        {
            Endpoints = etcd.Endpoint,
            CaFile = ca,
            CertificateFile = client.Certificate,
            KeyFile = client.Key,
        };
        await using (var members = new EtcdMembers(good))
        {
            Assert.Null((await members.StartAsync("n1")).Error);
            Assert.Null((await members.StartAsync("n2")).Error);
            await members.SettlesAsync(2, EtcdMembers.Ttl);
        }

        Assert.Equal(RegistryFailure.Denied, await FailureAsync(good with { CaFile = stranger }));
        Assert.NotNull(await FailureAsync(good with { CertificateFile = null, KeyFile = null }));
        Assert.NotNull(await FailureAsync(new EtcdRegistryOptions
        {
            Endpoints = etcd.Endpoint.Replace("https", "http", StringComparison.Ordinal),
        }));
    }

    [Fact]
    public async Task A_plaintext_etcd_is_refused_when_https_is_asked()
    {
        string ca = MakeAuthority("ca", out _);
        await using var etcd = await EtcdProcess.StartAsync();
        Assert.NotNull(await FailureAsync(new EtcdRegistryOptions
        {
            Endpoints = etcd.Endpoint.Replace("http", "https", StringComparison.Ordinal),
            CaFile = ca,
        }));
    }

    [Fact]
    public async Task User_and_password()
    {
        await using var etcd = await EtcdProcess.StartAsync();
        await etcd.CtlAsync("user", "add", "root:secret");
        await etcd.CtlAsync("user", "grant-role", "root", "root");
        await etcd.CtlAsync("user", "add", "mesh:pw");
        await etcd.CtlAsync("role", "add", "mesh");
        await etcd.CtlAsync("role", "grant-permission", "mesh", "--prefix=true", "readwrite", "/mooncake-mesh/t/");
        await etcd.CtlAsync("user", "grant-role", "mesh", "mesh");
        await etcd.CtlAsync("auth", "enable");
        string passwordFile = Path.Combine(_directory, "password");
        await File.WriteAllTextAsync(passwordFile, "pw\n");
        var good = new EtcdRegistryOptions
        {
            Endpoints = etcd.Endpoint,
            Cluster = "t",
            User = "mesh",
            PasswordFile = passwordFile,
        };
        await using (var members = new EtcdMembers(good))
        {
            Assert.Null((await members.StartAsync("n1")).Error);
            Assert.Null((await members.StartAsync("n2")).Error);
            await members.SettlesAsync(2, EtcdMembers.Ttl);
            // A change of users makes every token old: the memberships must get new ones by themselves.
            await etcd.CtlAsync("--user", "root:secret", "user", "add", "other:x");
            await etcd.RestartAsync(wipe: false);
            await members.SettlesAsync(2, EtcdMembers.Ttl * 2);
            // So does a new password, which comes from the file.
            await using var registry = EtcdRegistry.Create(good, EtcdMembers.Runtime).Value;
            Assert.Null(await FailureAsync(registry));
            await File.WriteAllTextAsync(passwordFile, "pw2\n");
            await etcd.CtlWithInputAsync("pw2\n", "--user", "root:secret", "user", "passwd", "mesh",
                "--interactive=false");
            Assert.Null(await FailureAsync(registry));
            Assert.Null((await members.StartAsync("n3")).Error);
            await members.SettlesAsync(3, EtcdMembers.Ttl * 2);
        }

        string[] status = ["status", "--etcd", etcd.Endpoint, "--cluster", "t"];
        var anonymous = await MeshCommandLine.RunAsync(status);
        var known = await MeshCommandLine.RunAsync(
            [.. status, "--etcd-user", "mesh", "--etcd-password-file", passwordFile]);
        Assert.Contains("user name is empty", anonymous.Error, StringComparison.Ordinal);
        Assert.DoesNotContain("user name is empty", known.Error, StringComparison.Ordinal);
        Assert.Equal(RegistryFailure.Denied, await FailureAsync(good with { PasswordFile = null, Password = "no" }));
        Assert.Equal(RegistryFailure.Denied, await FailureAsync(good with { Cluster = "other" }));
        Assert.Equal(RegistryFailure.Denied, await FailureAsync(good with { User = null, PasswordFile = null }));
    }

    [Fact]
    public async Task The_command_has_flags_for_an_etcd_with_mutual_tls()
    {
        string ca = MakeAuthority("ca", out var authority);
        var server = MakeLeaf(authority, "server");
        var client = MakeLeaf(authority, "client");
        await using var etcd = await EtcdProcess.StartAsync("--cert-file", server.Certificate, "--key-file", server.Key,
            "--trusted-ca-file", ca, "--client-cert-auth");
        string[] access = ["--cluster", "t", "--etcd-ca", ca, "--etcd-cert", client.Certificate, "--etcd-key",
            client.Key];
        await using var node = await ServeProcess.StartAsync("n1", ["--etcd-endpoints", etcd.Endpoint,
            "--segments", "64MiB,hugePages=false,preTouch=false", "--runtime-directory", _directory, .. access]);
        string value = Write("value", "some bytes");
        string[] mesh = ["--etcd", etcd.Endpoint, .. access];
        await MeshCommandLine.OutputAsync(["put", "k", value, .. mesh]);
        Assert.Equal("some bytes", await MeshCommandLine.OutputAsync(["get", "k", .. mesh]));
        var refused = await MeshCommandLine.RunAsync(["get", "k", "--etcd", etcd.Endpoint, "--cluster", "t"]);
        Assert.Equal(1, refused.ExitCode);
        Assert.Single(refused.ErrorLines);
    }

    [Fact]
    public void Files_that_cannot_be_read_are_a_configuration_error()
    {
        var result = EtcdRegistry.Create(new EtcdRegistryOptions { Endpoints = "https://a", CaFile = "/nowhere.pem" },
            EtcdMembers.Runtime);
        Assert.Equal("config:etcd", result.Error!.Stage);
        Assert.Contains("/nowhere.pem", result.Error.Message, StringComparison.Ordinal);
    }

    private static async Task<RegistryFailure?> FailureAsync(EtcdRegistryOptions options)
    {
        await using var registry = EtcdRegistry.Create(options, EtcdMembers.Runtime).Value;
        return await FailureAsync(registry);
    }

    private static async Task<RegistryFailure?> FailureAsync(EtcdRegistry registry)
    {
        try
        {
            await registry.ListAsync(CancellationToken.None);
            return null;
        }
        catch (RegistryException e)
        {
            return e.Failure;
        }
    }

    private string MakeAuthority(string name, out X509Certificate2 authority)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest($"CN={name}", key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, false, 0, true));
        request.CertificateExtensions.Add(new X509SubjectKeyIdentifierExtension(request.PublicKey, false));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.KeyCertSign, true));
        var now = DateTimeOffset.UtcNow;
        authority = request.CreateSelfSigned(now.AddDays(-1), now.AddDays(1));
        return Write($"{name}.pem", authority.ExportCertificatePem());
    }

    private (string Certificate, string Key) MakeLeaf(X509Certificate2 authority, string name)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest($"CN={name}", key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509EnhancedKeyUsageExtension(
            [new Oid("1.3.6.1.5.5.7.3.1"), new Oid("1.3.6.1.5.5.7.3.2")], false));
        var names = new SubjectAlternativeNameBuilder();
        names.AddIpAddress(IPAddress.Loopback);
        names.AddDnsName("localhost");
        request.CertificateExtensions.Add(names.Build());
        using var leaf = request.Create(
            authority, authority.NotBefore, authority.NotAfter, RandomNumberGenerator.GetBytes(8));
        return (Write($"{name}.pem", leaf.ExportCertificatePem()),
            Write($"{name}.key", key.ExportPkcs8PrivateKeyPem()));
    }

    private string Write(string name, string text)
    {
        string path = Path.Combine(_directory, name);
        File.WriteAllText(path, text);
        return path;
    }
}
